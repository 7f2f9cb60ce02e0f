//! How an order ends: every rule about what an order may become.
//!
//! Stock and payment answer on different topics, so their order is not ours to choose. Each answer
//! is recorded, and the ending follows from the answers: a late or contradicting one changes
//! nothing that was announced. No deadline cancels an order whose payment was captured.

use std::sync::Arc;

use proto::{Money, PaymentId};
use time::OffsetDateTime;

use super::{
    By, Cancellation, Conclusion, DeclineCode, Method, Order, Phase, Reason, Shortage, fold,
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
    Confirmed,
    Cancelled,
}

/// An order's next state, and what is announced. The event is made from the state, and for a new
/// order from the card's sealed details.
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

/// Cancels an order on request, even a confirmed one. Cancelling it again changes nothing and is no
/// refusal.
pub fn cancel(order: &Order, by: By, text: Arc<str>, at: OffsetDateTime) -> Decision {
    let conclusion = match order.phase() {
        Phase::Cancelled => None,
        Phase::Open | Phase::Confirmed => {
            let reason = Reason::CustomerRequest;
            Some(Conclusion::Cancelled(Cancellation { reason, detail: text, by: Some(by), at }))
        }
    };
    decided(order.clone(), conclusion, at)
}

fn decided(order: Order, conclusion: Option<Conclusion>, at: OffsetDateTime) -> Decision {
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
    let (reason, detail) = match event {
        Event::StockReserved { .. } => {
            let asks = order.method == Method::Deferred && is_uncaptured;
            if is_reserved_now && asks {
                return Some(Conclusion::AwaitingPayment);
            }
            return confirmation(order);
        }
        Event::PaymentCaptured { .. } => match never_fits(order) {
            Some(detail) => (Reason::PaymentDeclined, detail),
            None => return confirmation(order),
        },
        // While an earlier revision is held, a rejected amendment does not cancel the order.
        Event::StockRejected { revision, missing }
            if *revision == order.revision && order.stock.reserved.is_none() =>
        {
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            let detail = format!("insufficient inventory: {}", missing.join("; "));
            (Reason::InsufficientInventory, detail.into())
        }
        Event::PaymentDeclined { revision, code, .. }
            if *revision == order.revision && is_uncaptured =>
        {
            (Reason::PaymentDeclined, code.word().into())
        }
        // The expiry of an earlier revision's reservation says nothing: the present one has its own
        // time.
        Event::ReservationExpired { revision } if *revision == order.revision && is_uncaptured => {
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
        | Event::ConfirmationSent { .. }
        | Event::Noted => return None,
    };
    Some(Conclusion::Cancelled(Cancellation { reason, detail, by: None, at }))
}

/// Why the order can never be paid exactly: the captured amount is not the total, and nothing would
/// make it so. The order is then cancelled, so that the money goes back. A capture for an earlier
/// revision is not judged here.
fn never_fits(order: &Order) -> Option<Arc<str>> {
    let kept = order.payment.captured.filter(|_| !order.is_paid())?;
    let detail = || format!("{} was captured for a total of {}", kept.amount, order.total).into();
    (kept.revision >= order.revision).then(detail)
}

/// An order is confirmed when what it asks for is held and paid.
fn confirmation(order: &Order) -> Option<Conclusion> {
    (order.is_reserved() && order.is_paid()).then_some(Conclusion::Confirmed)
}

#[cfg(test)]
pub(super) mod tests;
