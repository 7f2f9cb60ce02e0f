//! An order and the fold of its history, step by step, over every short sequence of what can happen
//! to it.

use time::Duration;

use super::*;
use crate::domain::{
    Decision, DeclineCode, Method, Reason, Shortage, cancel, decide,
    decision::tests::{AT, a_shipment, amended_to, an_order, payment, usd},
    deliver, ship,
};

/// The length of the sequences: every step in any order, with any repetition.
const STEPS: u32 = 5;

/// What can happen to an order.
#[derive(Clone, Debug)]
enum Incident {
    Heard(Event),
    Amended(u32),
    Cancelled,
    Shipped,
    Delivered,
}

fn incidents() -> Vec<Incident> {
    let (payment, amount) = (payment(), usd("59.98"));
    let missing = Shortage { sku: proto::Sku::parse("mug").unwrap(), wanted: 2, available: 1 };
    let heard = [
        Event::StockReserved { revision: 1 },
        Event::StockReserved { revision: 2 },
        Event::StockRejected { revision: 1, missing: vec![missing.clone()] },
        Event::StockRejected { revision: 2, missing: vec![missing] },
        Event::StockReleased,
        Event::ReservationExpired { revision: 1 },
        Event::PaymentCaptured { revision: 1, payment, amount },
        Event::PaymentCaptured { revision: 1, payment, amount: usd("9.98") },
        Event::PaymentDeclined { revision: 1, payment, code: DeclineCode::CardDeclined },
        Event::PaymentVoided,
        Event::PaymentRefunded { amount },
        Event::RefundRefused,
        Event::ConfirmationSent { failure: Some("no such mailbox".into()) },
        Event::DeadlinePassed,
        Event::Noted,
    ];
    let asked = [
        Incident::Amended(1),
        Incident::Amended(2),
        Incident::Cancelled,
        Incident::Shipped,
        Incident::Delivered,
    ];
    heard.into_iter().map(Incident::Heard).chain(asked).collect()
}

/// What becomes of an order; none for a refusal.
fn meet(order: &Order, what: &Incident, at: OffsetDateTime) -> Option<Decision> {
    match what {
        Incident::Heard(event) => Some(decide(order, event, at)),
        Incident::Amended(quantity) => amended_to(order, *quantity, at).ok(),
        Incident::Cancelled => cancel(order, Reason::CustomerRequest, "anonymous".into(), at).ok(),
        Incident::Shipped => ship(order, a_shipment(at)).ok(),
        Incident::Delivered => deliver(order, at).ok(),
    }
}

/// The history rows of a step: first what was heard, then what was announced. A find of the sweep
/// is no row.
fn kept(what: &Incident, decision: &Decision) -> Vec<HistoryEvent> {
    let heard = match what {
        Incident::Heard(Event::DeadlinePassed) => None,
        Incident::Heard(event) => Some(HistoryEvent::Heard(event.clone())),
        Incident::Amended(_) | Incident::Cancelled | Incident::Shipped | Incident::Delivered => {
            None
        }
    };
    let order = &decision.order;
    let said = decision.announce.map(|announcement| match announcement {
        Announcement::Placed => panic!("placed twice"),
        Announcement::AwaitingPayment => Conclusion::AwaitingPayment,
        Announcement::Amended => Conclusion::Amended(order.present.clone()),
        Announcement::Confirmed => Conclusion::Confirmed,
        Announcement::Shipped => Conclusion::Shipped(order.shipment.clone().unwrap()),
        Announcement::Delivered => Conclusion::Delivered,
        Announcement::Cancelled => Conclusion::Cancelled(order.cancellation.clone().unwrap()),
    });
    heard.into_iter().chain(said.map(HistoryEvent::Said)).collect()
}

/// Continues every sequence from an order and the fold of its history; returns how many there were.
#[expect(clippy::arithmetic_side_effects, reason = "times and counts of a few steps")]
fn explore(order: &Order, folded: &Order, incidents: &[Incident], steps: u32) -> usize {
    let Some(left) = steps.checked_sub(1) else { return 1 };
    // Every step has a time of its own; two steps take longer than an order has to be paid.
    let at = order.updated_at.max(folded.updated_at) + Duration::seconds(40);
    let mut sequences = 0;
    for what in incidents {
        let Some(decision) = meet(order, what, at) else { continue };
        let rows = kept(what, &decision).into_iter().map(|row| (row, at));

        let folded = fold(folded, rows);

        let order = decision.order.clone();
        assert_eq!(folded, order, "after {what:?}");
        sequences += explore(&decision.order, &folded, incidents, left);
    }
    sequences
}

#[test]
fn every_order_is_the_fold_of_its_history() {
    let incidents = incidents();
    for method in [Method::Wallet, Method::Card, Method::Deferred] {
        let placed = Order { pay_within: Duration::MINUTE, ..an_order(method) };

        let sequences = explore(&placed, &fold(&placed, []), &incidents, STEPS);

        assert!(sequences > 1_000_000, "only {sequences}");
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
