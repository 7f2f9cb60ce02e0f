//! The golden table, and every short sequence of facts and cancels.

use std::{collections::HashSet, fmt::Write as _};

use proto::{Currency, CustomerId, OrderId, Sku};
use time::Duration;

use super::*;
use crate::domain::{
    Catalogue, LineRequest, Method, OrderRequest, Payment, Product, Saga, Status, Stock, place,
};

pub(in crate::domain) const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub(in crate::domain) fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

pub(in crate::domain) fn payment() -> PaymentId {
    PaymentId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ac").unwrap()
}

/// Two mugs for 59.98.
pub(in crate::domain) fn an_order(method: Method) -> Order {
    let sku = Sku::parse("mug").unwrap();
    let product =
        Product { name: "Blue mug".into(), price: usd("29.99"), available: 5, version: 1 };
    let request = OrderRequest {
        id: OrderId::parse("01932c1e-7b5a-7c3d-8e4f-0123456789ab").unwrap(),
        customer: CustomerId::parse("customer-456").unwrap(),
        currency: Currency::USD,
        lines: vec![LineRequest::Product { sku: sku.clone(), quantity: 2, seen: None }],
        method,
        note: "".into(),
        pay_within: Duration::ZERO,
    };
    place(&request, &Catalogue::from([(sku, product)]), AT).unwrap().order
}

/// Every fact and request that the tests put to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Input {
    Reserved,
    Rejected,
    Captured,
    CapturedLess,
    Declined,
    Expired,
    Deadline,
    Cancel,
    Released,
    Voided,
    Refunded,
    Notified,
}

const INPUTS: [Input; 12] = [
    Input::Reserved,
    Input::Rejected,
    Input::Captured,
    Input::CapturedLess,
    Input::Declined,
    Input::Expired,
    Input::Deadline,
    Input::Cancel,
    Input::Released,
    Input::Voided,
    Input::Refunded,
    Input::Notified,
];

fn apply(order: &Order, input: Input) -> Decision {
    let (revision, payment) = (1, payment());
    let event = match input {
        Input::Reserved => Event::StockReserved { revision },
        Input::Rejected => {
            let sku = Sku::parse("mug").unwrap();
            Event::StockRejected {
                revision,
                missing: vec![Shortage { sku, wanted: 2, available: 1 }],
            }
        }
        Input::Captured => Event::PaymentCaptured { revision, payment, amount: usd("59.98") },
        Input::CapturedLess => Event::PaymentCaptured { revision, payment, amount: usd("9.98") },
        Input::Declined => {
            Event::PaymentDeclined { revision, payment, code: DeclineCode::CardDeclined }
        }
        Input::Expired => Event::ReservationExpired { revision },
        Input::Deadline => Event::DeadlinePassed,
        Input::Cancel => return cancel(order, "anonymous".into(), "changed my mind".into(), AT),
        Input::Released => Event::StockReleased,
        Input::Voided => Event::PaymentVoided,
        Input::Refunded => Event::PaymentRefunded { amount: usd("59.98") },
        Input::Notified => Event::ConfirmationSent { failure: None },
    };
    decide(order, &event, AT)
}

fn after(method: Method, inputs: &[Input]) -> Order {
    inputs.iter().fold(an_order(method), |order, input| apply(&order, *input).order)
}

fn words(order: &Order) -> String {
    let Saga { status: saga, .. } = Saga::of(order);
    let reason = order.cancellation.as_ref().map_or("", |c| c.reason.word());
    let (status, saga) = (order.status().word(), saga.word());
    format!("{status} {reason} ({saga})").replace("  ", " ")
}

fn table() -> String {
    use Input::{Cancel, Captured, CapturedLess, Deadline, Declined, Expired, Rejected, Released};
    use Input::{Refunded, Reserved, Voided};
    let states: [(&str, Method, &[Input]); 16] = [
        ("placed", Method::Card, &[]),
        ("placed, deferred", Method::Deferred, &[]),
        ("reserved", Method::Card, &[Reserved]),
        ("reserved, deferred", Method::Deferred, &[Reserved]),
        ("paid", Method::Card, &[Captured]),
        ("paid too little", Method::Card, &[CapturedLess]),
        ("confirmed", Method::Card, &[Reserved, Captured]),
        ("rejected", Method::Card, &[Rejected]),
        ("declined", Method::Card, &[Reserved, Declined]),
        ("timed out", Method::Deferred, &[Reserved, Deadline]),
        ("expired", Method::Deferred, &[Reserved, Expired]),
        ("cancelled at once", Method::Card, &[Cancel]),
        ("cancelled when reserved", Method::Card, &[Reserved, Cancel]),
        ("cancelled when confirmed", Method::Card, &[Reserved, Captured, Cancel]),
        ("cancelled, stock is back", Method::Card, &[Reserved, Cancel, Released]),
        ("cancelled, money is back", Method::Card, &[Reserved, Captured, Cancel, Refunded]),
    ];
    let mut table = String::from("# state | input -> next (saga) | announced\n");
    for (name, method, path) in states {
        let order = after(method, path);
        for input in INPUTS {
            let Decision { order: next, announce } = apply(&order, input);
            let changed = if next == order { "same".to_owned() } else { words(&next) };
            let said = announce.map_or("-".to_owned(), |said| format!("Order{said:?}"));
            writeln!(table, "{name} | {input:?} -> {changed} | {said}").unwrap();
        }
        table.push('\n');
    }
    let end = after(Method::Card, &[Cancel, Released, Voided]);
    writeln!(table, "cancelled and settled -> {}", words(&end)).unwrap();
    table
}

#[test]
fn every_state_meets_every_input_as_the_golden_table_says() {
    let table = table();
    assert!(table == include_str!("../decision.golden"), "decision.golden should be:\n{table}");
}

/// An order, and what the promises need to know about the way to it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Path {
    order: Order,
    reserved: bool,
    captured: bool,
    confirmed: u32,
    cancelled: u32,
    asked_for_payment: u32,
}

/// Applies one more input, and checks what must hold of every step.
#[expect(clippy::arithmetic_side_effects, reason = "counts of a few")]
fn step(path: &Path, input: Input) -> Path {
    let Decision { order, announce } = apply(&path.order, input);
    let mut next = path.clone();
    next.reserved |= input == Input::Reserved;
    next.captured |= input == Input::Captured;
    match announce {
        Some(Announcement::Confirmed) => next.confirmed += 1,
        Some(Announcement::Cancelled) => next.cancelled += 1,
        Some(Announcement::AwaitingPayment) => next.asked_for_payment += 1,
        Some(Announcement::Placed) => panic!("placed twice"),
        None => {}
    }
    let said = i64::from(announce.is_some());
    assert_eq!(order.version, path.order.version + said, "versions count what is said");

    if announce == Some(Announcement::Confirmed) {
        assert!(next.reserved && next.captured, "confirmed with stock and money only");
        assert_eq!(path.cancelled, 0, "what is cancelled stays so");
    }
    if announce == Some(Announcement::Cancelled) {
        let clock = matches!(input, Input::Deadline | Input::Expired);
        assert!(!(clock && path.captured), "no clock ends what is paid");
        assert!(path.confirmed == 0 || input == Input::Cancel, "only a wish undoes a confirmation");
    }
    if input == Input::Cancel {
        assert_eq!(order.phase(), Phase::Cancelled, "a wish to cancel is always granted");
    }
    next.order = order;
    next
}

/// What must hold of every state, however it was reached.
fn check(path: &Path) {
    let order = &path.order;
    assert!(path.confirmed <= 1 && path.cancelled <= 1 && path.asked_for_payment <= 1);
    assert_eq!(order.confirmed_at.is_some(), path.confirmed == 1);
    assert_eq!(order.cancellation.is_some(), path.cancelled == 1);
    let open = order.phase() == Phase::Open;
    assert!(open || order.deadline().is_none(), "what has ended waits for nothing");
    assert_eq!(order.status() == Status::Cancelled, path.cancelled == 1);
    let asked = order.stock != Stock::default() || order.payment != Payment::default();
    assert!(asked || order.status() != Status::Paid);
    let settled = order.stock.released_at.is_some() && order.payment.compensation.is_some();
    let saga = Saga::of(order);
    let waits = saga.expected.is_some();
    assert!(!settled || !waits, "a settled order expects nothing");
    assert!(!open || waits, "an open order expects something");
}

/// Every sequence of up to eight inputs, in any order, with any repetition. Sequences that lead to
/// the same state with the same past are continued as one.
#[test]
fn an_order_ends_at_most_once_however_its_answers_arrive() {
    for method in [Method::Card, Method::Deferred] {
        let start = Path {
            order: an_order(method),
            reserved: false,
            captured: false,
            confirmed: 0,
            cancelled: 0,
            asked_for_payment: 0,
        };
        let mut seen = HashSet::from([start.clone()]);
        let mut latest = vec![start];
        for _ in 0..8 {
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
        assert!(seen.len() > 300, "only {} states", seen.len());
    }
}

#[test]
fn stock_and_money_confirm_in_either_order() {
    let one = after(Method::Card, &[Input::Reserved, Input::Captured]);
    let other = after(Method::Card, &[Input::Captured, Input::Reserved]);

    assert_eq!(one.status(), Status::Confirmed);
    assert_eq!(other.status(), Status::Confirmed);
    assert_eq!(other.version, 2);
}

#[test]
fn a_deadline_that_is_not_over_changes_nothing() {
    let event = Event::StockReserved { revision: 1 };
    let placed = Order { pay_within: Duration::MINUTE, ..an_order(Method::Wallet) };
    let order = decide(&placed, &event, AT).order;

    let before = decide(&order, &Event::DeadlinePassed, AT + Duration::seconds(59));
    let after = decide(&order, &Event::DeadlinePassed, AT + Duration::MINUTE);

    assert_eq!(before, Decision { order, announce: None });
    assert_eq!(after.order.cancellation.unwrap().reason, Reason::PaymentTimeout);
}

#[test]
fn a_capture_that_is_not_the_total_ends_the_order_and_goes_back() {
    for path in [&[Input::CapturedLess][..], &[Input::Reserved, Input::CapturedLess]] {
        let order = after(Method::Card, path);
        let cancellation = order.cancellation.as_ref().unwrap();
        assert_eq!(cancellation.reason, Reason::PaymentDeclined);
        assert_eq!(&*cancellation.detail, "9.98 USD was captured for a total of 59.98 USD");
        assert_eq!(Saga::of(&order).status.word(), "compensating");
    }
}

#[test]
fn a_reservation_that_ran_out_ends_only_the_revision_that_it_was_for() {
    let mut order = after(Method::Card, &[Input::Reserved]);
    order.revision = 2;

    let expired = |revision| decide(&order, &Event::ReservationExpired { revision }, AT);

    assert_eq!(expired(1).announce, None);
    assert_eq!(expired(2).announce, Some(Announcement::Cancelled));
}

#[test]
fn the_detail_of_a_rejection_says_what_is_missing() {
    let order = after(Method::Card, &[Input::Rejected]);

    let detail = order.cancellation.unwrap().detail;
    assert_eq!(&*detail, "insufficient inventory: 2 of mug wanted, 1 available");
}
