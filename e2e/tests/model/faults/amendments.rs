//! Mistakes about amendments and refunds.

use std::sync::Arc;

use inventory_svc::domain::{self as inventory, Motion, Reservation, Stock};
use order_svc::domain::{
    self as orders, AmendmentCause, Cancellation, Conclusion, Event, HistoryEvent, Order, Phase,
    Reason, Revision,
};
use payment_svc::domain::{self as payments, CompensationState, Phase as Money};
use proto::{Money as Amount, OrderId};
use time::OffsetDateTime;

/// What an order is after a fact and a conclusion that does not follow from it.
fn concludes(
    order: &Order,
    event: &Event,
    (said, announcement): (Conclusion, orders::Announcement),
    at: OffsetDateTime,
) -> orders::Decision {
    let rows = [HistoryEvent::Heard(event.clone()), HistoryEvent::Said(said)];
    let order = orders::fold(order, rows.map(|row| (row, at)));
    orders::Decision { order, announce: Some(announcement) }
}

fn cancels(order: &Order, event: &Event, reason: Reason, at: OffsetDateTime) -> orders::Decision {
    let cancellation = Cancellation { reason, detail: "".into(), by: None, at };
    let said = (Conclusion::Cancelled(cancellation), orders::Announcement::Cancelled);
    concludes(order, event, said, at)
}

/// An amendment that does not fit is undone, though nothing was ever reserved.
pub(crate) fn undoes_what_never_was(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let decision = orders::decide(order, event, at);
    let is_amended = order.present.number > 1 && matches!(event, Event::StockRejected { .. });
    if !is_amended || decision.announce != Some(orders::Announcement::Cancelled) {
        return decision;
    }
    let nothing = Revision {
        number: order.present.number + 1,
        lines: [].into(),
        total: Amount::zero(order.present.total.currency()),
        cause: Some(AmendmentCause::StockRejected),
        at,
    };
    let said = (Conclusion::Amended(nothing), orders::Announcement::Amended);
    concludes(order, event, said, at)
}

/// The rejection of the first revision ends the order, whatever it asks for now.
pub(crate) fn first_rejection_ends(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let is_first = matches!(event, Event::StockRejected { revision: 1, .. });
    if is_first && order.present.number > 1 && order.phase() == Phase::Open {
        return cancels(order, event, Reason::InsufficientInventory, at);
    }
    orders::decide(order, event, at)
}

/// The decline of an earlier revision ends the order.
pub(crate) fn late_decline_ends(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let is_late = matches!(event, Event::PaymentDeclined { revision, .. }
        if *revision < order.present.number);
    if is_late && order.phase() == Phase::Open && order.payment.captured.is_none() {
        return cancels(order, event, Reason::PaymentDeclined, at);
    }
    orders::decide(order, event, at)
}

/// The reservation of an earlier revision is not recorded: there is nothing to go back to.
pub(crate) fn forgets_reservations(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let is_earlier = matches!(event, Event::StockReserved { revision }
        if *revision < order.present.number);
    if is_earlier {
        return orders::Decision { order: order.clone(), announce: None };
    }
    orders::decide(order, event, at)
}

/// A capture counts for the present revision if the totals are the same, whatever the lines are.
pub(crate) fn compares_totals(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    let captured = match event {
        Event::PaymentCaptured { revision, .. } => Some(*revision),
        _ => order.payment.captured.map(|capture| capture.revision),
    };
    let mut seen = order.clone();
    for revision in &mut seen.superseded {
        if Some(revision.number) == captured && revision.total == order.present.total {
            revision.lines = Arc::clone(&order.present.lines);
        }
    }
    let mut decision = orders::decide(&seen, event, at);
    for revision in &mut decision.order.superseded {
        if let Some(known) = order.revision(revision.number) {
            revision.clone_from(known);
        }
    }
    decision
}

/// A refund that was refused is not noted.
pub(crate) fn ignores_refusals(
    order: &Order,
    event: &Event,
    at: OffsetDateTime,
) -> orders::Decision {
    if *event == Event::RefundRefused {
        return orders::Decision { order: order.clone(), announce: None };
    }
    orders::decide(order, event, at)
}

/// What an amendment does not need is given back at once.
pub(crate) fn surplus_goes_back(
    state: Reservation,
    event: &inventory::Event,
    stock: &Stock,
    at: OffsetDateTime,
) -> inventory::Decision {
    let mut decision = inventory::decide(state, event, stock, at);
    if let Reservation::Held { surplus, .. } = &mut decision.state
        && !surplus.is_empty()
    {
        decision.motions.push((Motion::Release, std::mem::take(surplus)));
    }
    decision
}

/// Each reservation is charged.
pub(crate) fn charges_each_reservation(
    mut state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    if let (Some(payment), payments::Event::StockReserved(due)) = (&mut state.payment, event)
        && payment.due.as_ref().is_some_and(|before| before.revision < due.revision)
    {
        payment.phase = Money::Waiting;
    }
    payments::decide(state, event, order)
}

/// A revision that is reserved during a charge is forgotten.
pub(crate) fn forgets_during_charge(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let is_charging =
        state.payment.as_ref().is_some_and(|it| matches!(it.phase, Money::Charging(_)));
    if is_charging && matches!(event, payments::Event::StockReserved(_)) {
        return payments::Decision::unchanged(state);
    }
    payments::decide(state, event, order)
}

/// A cancel after staff have given back everything is not answered.
pub(crate) fn mute_after_full_refund(
    state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    let before = state.payment.as_ref().map(|payment| payment.compensation);
    let mut decision = payments::decide(state, event, order);
    if let Some(payment) = &mut decision.state.payment
        && let Money::Captured(capture) = &payment.phase
        && capture.left().is_zero()
        && payment.compensation == CompensationState::Voided
        && before != Some(CompensationState::Voided)
    {
        payment.compensation = CompensationState::Owed { revision: 1 };
        let is_void =
            |said: &payments::Announcement| matches!(said, payments::Announcement::Voided { .. });
        decision.announce.retain(|said| !is_void(said));
    }
    decision
}

/// A cancel does not wait for the refund of staff that is under way.
pub(crate) fn cancels_during_refund(
    mut state: payments::State,
    event: &payments::Event,
    order: OrderId,
) -> payments::Decision {
    if let Some(payment) = &mut state.payment
        && let Money::Captured(capture) = &mut payment.phase
        && matches!(event, payments::Event::OrderCancelled { .. })
        && capture.refunding().is_some()
    {
        capture.refund = None;
    }
    payments::decide(state, event, order)
}
