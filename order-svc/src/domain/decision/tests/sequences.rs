//! Every short sequence of facts and requests.

use std::collections::HashSet;

use super::*;

/// How long the sequences are.
const SEQUENCE: usize = 7;

/// An order, and what the promises need to know about the way to it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Path {
    order: Order,
    reserved: bool,
    captured: bool,
    confirmed: u32,
    cancelled: u32,
}

/// Applies one more input, and checks what must hold of every step. Nobody answers a revision that
/// was not said.
#[expect(clippy::arithmetic_side_effects, reason = "counts of a few")]
fn step(path: &Path, input: Input) -> Path {
    let before = &path.order;
    if input.revision() > before.present.number {
        return path.clone();
    }
    let Decision { order, announce } = match apply(before, input) {
        Ok(decision) => decision,
        Err(refusal) => {
            check_refusal(before, &refusal);
            return path.clone();
        }
    };
    let mut next = path.clone();
    next.reserved |= matches!(input, Input::Reserved(_));
    next.captured |= matches!(input, Input::Captured(_) | Input::CapturedLess);
    let said = i64::from(announce.is_some());
    assert_eq!(order.version, before.version + said, "versions count what is said");
    let amended = u32::from(announce == Some(Announcement::Amended));
    assert_eq!(order.present.number, before.present.number + amended, "so do revisions");
    match announce {
        None => {}
        Some(Announcement::Placed) => panic!("placed twice"),
        Some(Announcement::AwaitingPayment) => {
            assert_eq!(input, Input::Reserved(order.present.number), "once a revision");
            assert!(!before.is_reserved() && order.payment.captured.is_none());
        }
        Some(Announcement::Amended) => {
            assert_eq!(before.phase(), Phase::Open, "what has ended stays so");
            let asked = matches!(input, Input::Fewer | Input::Two);
            assert_eq!(order.present.cause == Some(AmendmentCause::Requested), asked);
            assert!(!asked || !path.captured, "what is paid is not amended");
        }
        Some(Announcement::Confirmed) => {
            assert!(next.reserved && next.captured, "confirmed with stock and money only");
            assert_eq!(path.cancelled, 0, "what is cancelled stays so");
            next.confirmed += 1;
        }
        Some(Announcement::Shipped | Announcement::Delivered) => {
            assert_eq!((path.confirmed, path.cancelled), (1, 0));
        }
        Some(Announcement::Cancelled) => {
            let clock = matches!(input, Input::Deadline | Input::Expired(_));
            assert!(!(clock && path.captured), "no clock ends what is paid");
            assert!(path.confirmed == 0 || input == Input::Cancel, "only a wish undoes that");
            let earlier = input.revision() < before.present.number;
            let answer =
                matches!(input, Input::Rejected(_) | Input::Declined(_) | Input::Expired(_));
            assert!(!(answer && earlier), "no answer to an earlier revision ends an order");
            let lost = matches!(input, Input::Rejected(_));
            assert!(!(lost && path.reserved), "what is held is gone back to");
            next.cancelled += 1;
        }
    }
    if input == Input::Cancel {
        assert_eq!(order.phase(), Phase::Cancelled, "a wish to cancel is granted");
    }
    next.order = order;
    next
}

fn check_refusal(order: &Order, refusal: &Refusal) {
    match refusal {
        Refusal::NotAmendable(_) => {
            assert!(order.phase() != Phase::Open || order.payment.captured.is_some());
        }
        Refusal::NotCancellable(_) => assert!(order.shipment.is_some()),
        Refusal::NotShippable(_) => {}
        Refusal::UnknownProduct(_)
        | Refusal::OtherCurrency(_)
        | Refusal::PriceChanged(_)
        | Refusal::TooMuch
        | Refusal::InsufficientInventory(_)
        | Refusal::AmendedTooOften => panic!("refused: {refusal}"),
    }
}

/// What must hold of every state, however it was reached.
fn check(path: &Path) {
    let order = &path.order;
    assert!(path.confirmed <= 1 && path.cancelled <= 1);
    assert_eq!(order.confirmed_at.is_some(), path.confirmed == 1);
    assert_eq!(order.cancellation.is_some(), path.cancelled == 1);
    let open = order.phase() == Phase::Open;
    assert!(open || order.deadline().is_none(), "what has ended waits for nothing");
    assert!(open || order.superseded.is_empty(), "and nothing earlier matters to it");
    assert!(!open || order.revision(1).is_some(), "of what is open, everything may matter");
    assert_eq!(order.status() == Status::Cancelled, path.cancelled == 1);
    let asked = order.stock != Stock::default() || order.payment != Payment::default();
    assert!(asked || order.status() != Status::Paid);
    let saga = Saga::of(order);
    assert_eq!(saga.expected.is_some(), order.is_unfinished(), "what is unfinished, is expected");
    let waits_for = saga.expected.map(|it| it.step);
    let step = saga.steps.iter().find(|step| waits_for == Some(step.name.as_str()));
    assert!(step.is_none_or(|step| step.state == StepState::Waiting), "{waits_for:?}");
}

/// Every sequence of up to seven inputs, in any order, with any repetition. Sequences that lead to
/// the same state with the same past are continued as one.
#[test]
fn an_order_ends_at_most_once_however_its_answers_arrive() {
    for method in [Method::Card, Method::Deferred] {
        let order = an_order(method);
        let start = Path { order, reserved: false, captured: false, confirmed: 0, cancelled: 0 };
        let mut seen = HashSet::from([start.clone()]);
        let mut latest = vec![start];
        for _ in 0..SEQUENCE {
            let mut next = Vec::new();
            for path in &latest {
                for input in INPUTS {
                    let path = step(path, input);
                    check(&path);
                    if seen.insert(path.clone()) {
                        next.push(path);
                    }
                }
            }
            latest = next;
        }
        assert!(seen.len() > 20_000, "only {} states", seen.len());
    }
}
