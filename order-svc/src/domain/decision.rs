//! How an order ends: every rule about what an order may become.
//!
//! Stock and payment answer on different topics, so their order is not ours to choose. Each answer
//! is recorded, and the ending follows from the answers: a late or contradicting one changes
//! nothing that was announced. What is paid is never ended by a clock.

use std::sync::Arc;

use proto::{Money, PaymentId};
use time::{Duration, OffsetDateTime};

use super::{
    By, Cancellation, Conclusion, DeclineCode, Method, Order, Phase, Reason, Shortage, fold,
};

/// A fact that an order hears: it cannot be refused, only make no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Every line of a revision is held; from now on it has to be paid within so long.
    StockReserved {
        revision: u32,
        pay_within: Duration,
    },
    /// A revision cannot be held whole.
    StockRejected {
        revision: u32,
        missing: Vec<Shortage>,
    },
    /// Nothing is held for the cancelled order any more.
    StockReleased,
    /// What is held has been held for its time; it goes on being held.
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
    /// The confirmation went to the customer, or will not (`failure`).
    ConfirmationSent {
        failure: Option<Arc<str>>,
    },
    /// The sweep found the time to pay over.
    DeadlinePassed,
    /// Something that belongs to the order's history and changes nothing.
    Noted,
}

/// What is said about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    Placed,
    AwaitingPayment,
    Confirmed,
    Cancelled,
}

/// An order's next state, and what is said: the state has all that the event needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    pub order: Order,
    pub announce: Option<Announcement>,
}

/// Takes a fact in: it is recorded, and what follows from it is said.
pub fn decide(before: &Order, event: &Event, at: OffsetDateTime) -> Decision {
    let mut order = fold::hear(before, event, at);
    let is_reserved_now = order.is_reserved() && !before.is_reserved();
    if let Event::StockReserved { pay_within, .. } = event
        && is_reserved_now
    {
        order.pay_by = Some(at.saturating_add(*pay_within));
    }
    let conclusion = match order.phase() {
        Phase::Open => conclusion(&order, event, is_reserved_now, at),
        Phase::Confirmed | Phase::Cancelled => None,
    };
    decided(order, conclusion, at)
}

/// Cancels an order on request, confirmed ones too. The second time changes nothing and is as good.
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
        // With an earlier revision held there is something to go back to.
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
        // Of a revision that was amended since it says nothing: its clock started again.
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

/// Why what was captured will never be the total: unless it was for an earlier revision, nothing
/// would ever make it so, and it goes back.
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
