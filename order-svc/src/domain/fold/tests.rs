//! An order and the fold of its history, step by step, over every short sequence of what can happen
//! to it.

use time::Duration;

use super::*;
use crate::domain::{
    Decision, DeclineCode, Method, Shortage, cancel, decide,
    decision::tests::{AT, an_order, payment, usd},
};

/// The length of the sequences: every step in any order, with any repetition.
const STEPS: u32 = 5;

/// What can happen to an order; `None`: somebody cancels it.
fn happenings() -> Vec<Option<Event>> {
    let (payment, amount) = (payment(), usd("59.98"));
    let missing = Shortage { sku: proto::Sku::parse("mug").unwrap(), wanted: 2, available: 1 };
    vec![
        Some(Event::StockReserved { revision: 1 }),
        Some(Event::StockRejected { revision: 1, missing: vec![missing] }),
        Some(Event::StockReleased),
        Some(Event::ReservationExpired { revision: 1 }),
        Some(Event::PaymentCaptured { revision: 1, payment, amount }),
        Some(Event::PaymentCaptured { revision: 1, payment, amount: usd("9.98") }),
        Some(Event::PaymentDeclined { revision: 1, payment, code: DeclineCode::CardDeclined }),
        Some(Event::PaymentVoided),
        Some(Event::PaymentRefunded { amount }),
        Some(Event::ConfirmationSent { failure: Some("no such mailbox".into()) }),
        Some(Event::DeadlinePassed),
        Some(Event::Noted),
        None,
    ]
}

/// The history rows of a step: first what was heard, then what was announced. A find of the sweep
/// is no row.
fn kept(event: Option<&Event>, decision: &Decision) -> Vec<HistoryEvent> {
    let heard = event.filter(|event| **event != Event::DeadlinePassed).cloned();
    let said = decision.announce.map(|announcement| match announcement {
        Announcement::Placed => panic!("placed twice"),
        Announcement::AwaitingPayment => Conclusion::AwaitingPayment,
        Announcement::Confirmed => Conclusion::Confirmed,
        Announcement::Cancelled => {
            Conclusion::Cancelled(decision.order.cancellation.clone().unwrap())
        }
    });
    heard.map(HistoryEvent::Heard).into_iter().chain(said.map(HistoryEvent::Said)).collect()
}

/// Continues every sequence from an order and the fold of its history; returns how many there were.
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of a few steps")]
fn explore(order: &Order, folded: &Order, happenings: &[Option<Event>], steps: u32) -> usize {
    let Some(left) = steps.checked_sub(1) else { return 1 };
    // Every step has a time of its own; two steps take longer than an order has to be paid.
    let at = order.updated_at.max(folded.updated_at) + Duration::seconds(40);
    let mut sequences = 0;
    for event in happenings {
        let decision = match event {
            Some(event) => decide(order, event, at),
            None => cancel(order, "anonymous".into(), "changed my mind".into(), at),
        };
        let rows = kept(event.as_ref(), &decision).into_iter().map(|row| (row, at));

        let folded = fold(folded, rows);

        let order = decision.order.clone();
        assert_eq!(folded, order, "after {event:?}");
        sequences += explore(&decision.order, &folded, happenings, left);
    }
    sequences
}

#[test]
fn every_order_is_the_fold_of_its_history() {
    let happenings = happenings();
    for method in [Method::Wallet, Method::Card, Method::Deferred] {
        let placed = Order { pay_within: Duration::MINUTE, ..an_order(method) };

        let sequences = explore(&placed, &fold(&placed, []), &happenings, STEPS);

        assert_eq!(sequences, happenings.len().pow(STEPS));
    }
}

#[test]
fn an_answer_to_an_earlier_revision_does_not_displace_a_later_one() {
    let reserved = |revision| {
        let event = Event::StockReserved { revision };
        (HistoryEvent::Heard(event), AT + Duration::seconds(revision.into()))
    };

    let order = fold(&an_order(Method::Card), [reserved(2), reserved(1)]);

    assert_eq!(order.stock.reserved.unwrap().revision, 2);
    assert_eq!(order.updated_at, AT + Duration::seconds(2), "what changes nothing is no change");
}
