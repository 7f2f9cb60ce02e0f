//! How an order ends: every rule about what an order may become.
//!
//! Stock and payment answer on different topics, so their order is not ours to choose. Each answer
//! is recorded, and the ending follows from the answers: a late or contradicting one changes
//! nothing that was announced. No deadline cancels an order whose payment was captured.
//!
//! Only answers to the present revision end an order or undo an amendment. An amendment that cannot
//! be reserved, or that came after the payment of an earlier revision, is undone by a further
//! revision: with the lines that are reserved, or with those that are paid.

use std::sync::Arc;

use proto::{Money, PaymentId};
use time::OffsetDateTime;

use super::{
    AmendmentCause, By, Cancellation, Conclusion, DeclineCode, Line, Method, Order, Phase, Reason,
    Refusal, Revision, Shipment, Shortage, fold,
};

/// A fact that an order hears: it cannot be refused, only make no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Every line of a revision is reserved; from now on the time to pay runs.
    StockReserved {
        revision: u32,
    },
    /// At least one line of a revision is not available, so nothing of the revision is reserved.
    StockRejected {
        revision: u32,
        missing: Vec<Shortage>,
    },
    /// Nothing is held for the cancelled order any more.
    StockReleased,
    /// The time of a revision's reservation is over; its stock is held until the order is
    /// cancelled.
    ReservationExpired {
        revision: u32,
    },
    PaymentCaptured {
        revision: u32,
        payment: PaymentId,
        amount: Money,
    },
    PaymentDeclined {
        revision: u32,
        payment: PaymentId,
        code: DeclineCode,
    },
    /// No money of the cancelled order is kept.
    PaymentVoided,
    /// The money of the cancelled order went back.
    PaymentRefunded {
        amount: Money,
    },
    /// The provider refuses for good to give the money of the cancelled order back.
    RefundRefused,
    /// The confirmation mail went to the customer, or will not (`failure`).
    ConfirmationSent {
        failure: Option<Arc<str>>,
    },
    /// The sweep found the time to pay over.
    DeadlinePassed,
    /// An event that belongs to the order's history and changes nothing else.
    Noted,
}

/// What this service announces about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    Placed,
    AwaitingPayment,
    Amended,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
}

/// An order's next state, and what is announced. The event is made from the state, and for what is
/// ordered from the card's sealed details.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub order: Order,
    pub announce: Option<Announcement>,
}

/// Records a fact, and announces what follows from it.
pub fn decide(before: &Order, event: &Event, at: OffsetDateTime) -> Decision {
    let order = fold::hear(before, event, at);
    let is_reserved_now = order.is_reserved() && !before.is_reserved();
    let conclusion = match order.phase() {
        Phase::Open => conclusion(&order, event, is_reserved_now, at),
        Phase::Confirmed | Phase::Cancelled => None,
    };
    decided(order, conclusion, at)
}

/// Cancels an order on request, even a confirmed one, until it is shipped. Cancelling it again
/// changes nothing and is no refusal.
pub fn cancel(
    order: &Order,
    reason: Reason,
    by: By,
    at: OffsetDateTime,
) -> Result<Decision, Refusal> {
    let conclusion = match (order.phase(), &order.shipment) {
        (Phase::Cancelled, _) => None,
        (Phase::Confirmed, Some(_)) => return Err(Refusal::NotCancellable(order.status())),
        (Phase::Open | Phase::Confirmed, _) => {
            let detail = "".into();
            Some(Conclusion::Cancelled(Cancellation { reason, detail, by: Some(by), at }))
        }
    };
    Ok(decided(order.clone(), conclusion, at))
}

/// Says that the goods of a confirmed order have left.
pub fn ship(order: &Order, shipment: Shipment) -> Result<Decision, Refusal> {
    if order.phase() != Phase::Confirmed || order.shipment.is_some() {
        return Err(Refusal::NotShippable(order.status()));
    }
    let at = shipment.at;
    Ok(decided(order.clone(), Some(Conclusion::Shipped(shipment)), at))
}

/// Says that the goods of a shipped order have arrived.
pub fn deliver(order: &Order, at: OffsetDateTime) -> Result<Decision, Refusal> {
    if order.shipment.as_ref().is_none_or(|shipment| shipment.delivered_at.is_some()) {
        return Err(Refusal::NotShippable(order.status()));
    }
    Ok(decided(order.clone(), Some(Conclusion::Delivered), at))
}

/// Changes what an open order asks for: `lines` and `total` are its next revision's.
pub(super) fn amended(
    order: &Order,
    (lines, total): (Arc<[Line]>, Money),
    cause: AmendmentCause,
    at: OffsetDateTime,
) -> Conclusion {
    let number = order.present.number.saturating_add(1);
    Conclusion::Amended(Revision { number, lines, total, cause: Some(cause), at })
}

pub(super) fn decided(
    order: Order,
    conclusion: Option<Conclusion>,
    at: OffsetDateTime,
) -> Decision {
    let announce = conclusion.as_ref().map(Conclusion::announcement);
    let order = match conclusion {
        Some(conclusion) => fold::say(order, conclusion, at),
        None => order,
    };
    Decision { order, announce }
}

/// What follows for an open order from the fact that it has just recorded.
fn conclusion(
    order: &Order,
    event: &Event,
    is_reserved_now: bool,
    at: OffsetDateTime,
) -> Option<Conclusion> {
    let is_uncaptured = order.payment.captured.is_none();
    let is_present = |revision: &u32| *revision == order.present.number;
    let (reason, detail) = match event {
        Event::StockReserved { .. } => {
            let asks = order.method == Method::Deferred && is_uncaptured;
            if is_reserved_now && asks {
                return Some(Conclusion::AwaitingPayment);
            }
            return confirmation(order);
        }
        Event::PaymentCaptured { .. } => return paid(order, at),
        Event::StockRejected { revision, missing }
            if is_present(revision) && !order.is_reserved() =>
        {
            let held = order.stock.reserved.and_then(|held| order.revision(held.revision));
            if let Some(held) = held {
                return Some(back_to(held, order, AmendmentCause::StockRejected, at));
            }
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            let detail = format!("insufficient inventory: {}", missing.join("; "));
            (Reason::InsufficientInventory, detail.into())
        }
        Event::PaymentDeclined { revision, code, .. } if is_present(revision) && is_uncaptured => {
            (Reason::PaymentDeclined, code.as_str().into())
        }
        // The expiry of an earlier revision's reservation says nothing: the present one has its own
        // time.
        Event::ReservationExpired { revision } if is_present(revision) && is_uncaptured => {
            (Reason::ReservationExpired, "".into())
        }
        Event::DeadlinePassed if order.deadline().is_some_and(|deadline| deadline <= at) => {
            (Reason::PaymentTimeout, "".into())
        }
        Event::StockRejected { .. }
        | Event::PaymentDeclined { .. }
        | Event::ReservationExpired { .. }
        | Event::DeadlinePassed
        | Event::StockReleased
        | Event::PaymentVoided
        | Event::PaymentRefunded { .. }
        | Event::RefundRefused
        | Event::ConfirmationSent { .. }
        | Event::Noted => return None,
    };
    Some(cancelled(reason, detail, at))
}

/// What follows from a capture: the order is confirmed once its stock is held, too. The payment of
/// an earlier revision with other lines was quicker than the amendment, which is undone. An amount
/// that is no revision's total goes back with the order's cancellation.
fn paid(order: &Order, at: OffsetDateTime) -> Option<Conclusion> {
    if order.is_paid() {
        return confirmation(order);
    }
    let capture = order.payment.captured?;
    let paid = order.revision(capture.revision).filter(|it| it.total == capture.amount);
    if let Some(paid) = paid {
        return Some(back_to(paid, order, AmendmentCause::CapturedFirst, at));
    }
    let (amount, total) = (capture.amount, order.present.total);
    let detail = format!("{amount} was captured for a total of {total}");
    Some(cancelled(Reason::PaymentDeclined, detail.into(), at))
}

fn back_to(
    earlier: &Revision,
    order: &Order,
    cause: AmendmentCause,
    at: OffsetDateTime,
) -> Conclusion {
    amended(order, (Arc::clone(&earlier.lines), earlier.total), cause, at)
}

fn cancelled(reason: Reason, detail: Arc<str>, at: OffsetDateTime) -> Conclusion {
    Conclusion::Cancelled(Cancellation { reason, detail, by: None, at })
}

/// An order is confirmed when what it asks for is held and paid.
fn confirmation(order: &Order) -> Option<Conclusion> {
    (order.is_reserved() && order.is_paid()).then_some(Conclusion::Confirmed)
}

#[cfg(test)]
pub(super) mod tests;
