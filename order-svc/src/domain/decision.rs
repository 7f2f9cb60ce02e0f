//! How an order ends: every rule about what an order may become.
//!
//! Stock and payment answer on different topics, so their order is not ours to choose. Each answer
//! is recorded, and the ending follows from the answers: a late or contradicting one changes
//! nothing that was announced. What is paid is never ended by a clock.

use std::sync::Arc;

use proto::{Money, PaymentId};
use time::{Duration, OffsetDateTime};

use super::{
    By, Cancellation, Capture, Decline, DeclineCode, Method, Notified, Order, Reason, Rejection,
    Reservation, Shortage, Standing, Undoing, Undone,
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

/// Takes a fact in.
pub fn decide(before: &Order, event: &Event, at: OffsetDateTime) -> Decision {
    let mut order = before.clone();
    let ending = match event {
        Event::StockReserved { revision, pay_within } => {
            return reserved(order, *revision, *pay_within, at);
        }
        Event::StockRejected { revision, missing } => rejected(&mut order, *revision, missing, at),
        Event::PaymentCaptured { revision, payment, amount } => {
            let capture = Capture { revision: *revision, amount: *amount, at };
            return captured(order, *payment, capture, at);
        }
        Event::PaymentDeclined { revision, payment, code } => {
            let decline = Decline { revision: *revision, code: *code, at };
            declined(&mut order, *payment, decline)
        }
        Event::ReservationExpired { revision } => {
            // Of a revision that was amended since it says nothing: its clock started again.
            let ends = *revision == order.revision && order.payment.captured.is_none();
            ends.then(|| (Reason::ReservationExpired, "".into()))
        }
        Event::DeadlinePassed => {
            let over = order.deadline().is_some_and(|deadline| deadline <= at);
            over.then(|| (Reason::PaymentTimeout, "".into()))
        }
        Event::StockReleased => {
            // Said in answer to a cancellation: without one it is not ours to believe.
            if order.cancellation.is_some() {
                order.stock.released_at.get_or_insert(at);
            }
            None
        }
        Event::PaymentVoided => undone(&mut order, Undoing::Voided, at),
        Event::PaymentRefunded { amount } => undone(&mut order, Undoing::Refunded(*amount), at),
        Event::ConfirmationSent { failure } => {
            order.notified.get_or_insert(Notified { failure: failure.clone(), at });
            None
        }
        Event::Noted => None,
    };
    match (order.standing(), ending) {
        (Standing::Open, Some((reason, detail))) => {
            cancelled(order, Cancellation { reason, detail, by: None, at })
        }
        (Standing::Confirmed | Standing::Cancelled, _) | (Standing::Open, None) => {
            unannounced(before, order, at)
        }
    }
}

/// Cancels an order on request, confirmed ones too. The second time changes nothing and is as good.
pub fn cancel(order: &Order, by: By, text: Arc<str>, at: OffsetDateTime) -> Decision {
    match order.standing() {
        Standing::Cancelled => Decision { order: order.clone(), announce: None },
        Standing::Open | Standing::Confirmed => {
            let reason = Reason::CustomerRequest;
            cancelled(order.clone(), Cancellation { reason, detail: text, by: Some(by), at })
        }
    }
}

fn reserved(mut order: Order, revision: u32, pay_within: Duration, at: OffsetDateTime) -> Decision {
    let before = order.clone();
    if order.stock.reserved.is_none_or(|held| held.revision < revision) {
        order.stock.reserved = Some(Reservation { revision, at });
        if revision == order.revision {
            order.pay_by = Some(at.saturating_add(pay_within));
        }
    }
    let news = order.stock != before.stock && revision == order.revision;
    let asks = order.method == Method::Deferred && order.payment.captured.is_none();
    if order.standing() == Standing::Open && news && asks {
        return announced(order, Announcement::AwaitingPayment, at);
    }
    confirm_or_wait(&before, order, at)
}

fn rejected(
    order: &mut Order,
    revision: u32,
    missing: &[Shortage],
    at: OffsetDateTime,
) -> Option<(Reason, Arc<str>)> {
    if order.stock.rejected.is_none_or(|rejection| rejection.revision < revision) {
        order.stock.rejected = Some(Rejection { revision, at });
    }
    // With an earlier revision held there is something to go back to.
    let ends = revision == order.revision && order.stock.reserved.is_none();
    ends.then(|| {
        let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
        (Reason::InsufficientInventory, format!("insufficient inventory: {}", missing.join("; ")))
    })
    .map(|(reason, detail)| (reason, detail.into()))
}

fn captured(
    mut order: Order,
    payment: PaymentId,
    capture: Capture,
    at: OffsetDateTime,
) -> Decision {
    let before = order.clone();
    order.payment.id.get_or_insert(payment);
    let kept = *order.payment.captured.get_or_insert(capture);
    // Nothing would ever make it the total: unless it was for an earlier revision, it goes back.
    let never_fits = kept.revision >= order.revision && !order.is_paid();
    if order.standing() == Standing::Open && never_fits {
        let detail = format!("{} was captured for a total of {}", kept.amount, order.total).into();
        let reason = Reason::PaymentDeclined;
        return cancelled(order, Cancellation { reason, detail, by: None, at });
    }
    confirm_or_wait(&before, order, at)
}

fn declined(order: &mut Order, payment: PaymentId, decline: Decline) -> Option<(Reason, Arc<str>)> {
    order.payment.id.get_or_insert(payment);
    if order.payment.declined.is_none_or(|known| known.revision < decline.revision) {
        order.payment.declined = Some(decline);
    }
    let ends = decline.revision == order.revision && order.payment.captured.is_none();
    ends.then(|| (Reason::PaymentDeclined, decline.code.word().into()))
}

/// Payment answers a cancellation once: the first answer stands.
fn undone(order: &mut Order, how: Undoing, at: OffsetDateTime) -> Option<(Reason, Arc<str>)> {
    if order.cancellation.is_some() {
        order.payment.undone.get_or_insert(Undone { how, at });
    }
    None
}

/// An order is confirmed when what it asks for is held and paid.
fn confirm_or_wait(before: &Order, mut order: Order, at: OffsetDateTime) -> Decision {
    if order.standing() == Standing::Open && order.is_reserved() && order.is_paid() {
        order.confirmed_at = Some(at);
        return announced(order, Announcement::Confirmed, at);
    }
    unannounced(before, order, at)
}

fn cancelled(mut order: Order, cancellation: Cancellation) -> Decision {
    let at = cancellation.at;
    order.cancellation = Some(cancellation);
    announced(order, Announcement::Cancelled, at)
}

fn announced(mut order: Order, announcement: Announcement, at: OffsetDateTime) -> Decision {
    order.updated_at = at;
    order.version = order.version.saturating_add(1);
    Decision { order, announce: Some(announcement) }
}

fn unannounced(before: &Order, mut order: Order, at: OffsetDateTime) -> Decision {
    if order != *before {
        order.updated_at = at;
    }
    Decision { order, announce: None }
}

#[cfg(test)]
mod tests;
