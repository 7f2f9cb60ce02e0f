//! Derives an order from its history: answers are recorded as they were heard, and endings as they
//! were announced. Why an ending followed from the answers is not asked here.
//!
//! `decide` changes an order through this file alone, so an order is what its history says,
//! whatever the rules of later builds are.

use std::mem;

use time::OffsetDateTime;

use super::{
    Announcement, Cancellation, Capture, Compensation, CompensationKind, Decline, Event,
    MailResult, Order, Phase, Rejection, Reservation, Revision, Shipment,
};

/// What an order concluded from a fact or a request, with all that the announcing event says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Conclusion {
    AwaitingPayment,
    Amended(Revision),
    Confirmed,
    Shipped(Shipment),
    Delivered,
    Cancelled(Cancellation),
}

/// A row of an order's history after the first: the first, `OrderPlaced`, is the order to start
/// from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HistoryEvent {
    Heard(Event),
    Said(Conclusion),
}

impl Conclusion {
    pub(super) fn announcement(&self) -> Announcement {
        match self {
            Self::AwaitingPayment => Announcement::AwaitingPayment,
            Self::Amended(_) => Announcement::Amended,
            Self::Confirmed => Announcement::Confirmed,
            Self::Shipped(_) => Announcement::Shipped,
            Self::Delivered => Announcement::Delivered,
            Self::Cancelled(_) => Announcement::Cancelled,
        }
    }
}

/// The order to which `history` leads from `start`: the order as it was placed, or as it stood
/// before these rows.
pub fn fold(
    start: &Order,
    history: impl IntoIterator<Item = (HistoryEvent, OffsetDateTime)>,
) -> Order {
    history.into_iter().fold(start.clone(), |order, (event, at)| match event {
        HistoryEvent::Heard(event) => hear(&order, &event, at),
        HistoryEvent::Said(conclusion) => say(order, conclusion, at),
    })
}

/// Records a fact. Of two answers to one question the first stands; of answers to several
/// revisions, the one to the highest revision.
pub(super) fn hear(before: &Order, event: &Event, at: OffsetDateTime) -> Order {
    let mut order = before.clone();
    match event {
        Event::StockReserved { revision } => {
            if order.stock.reserved.is_none_or(|held| held.revision < *revision) {
                order.stock.reserved = Some(Reservation { revision: *revision, at });
            }
        }
        Event::StockRejected { revision, .. } => {
            if order.stock.rejected.is_none_or(|known| known.revision < *revision) {
                order.stock.rejected = Some(Rejection { revision: *revision, at });
            }
        }
        Event::StockReleased => {
            // StockReleased answers a cancellation, so an order that is not cancelled ignores it.
            if order.cancellation.is_some() {
                order.stock.released_at.get_or_insert(at);
            }
        }
        Event::PaymentCaptured { revision, payment, amount } => {
            order.payment.id.get_or_insert(*payment);
            let capture = Capture { revision: *revision, amount: *amount, at };
            order.payment.captured.get_or_insert(capture);
        }
        Event::PaymentDeclined { revision, payment, code } => {
            order.payment.id.get_or_insert(*payment);
            if order.payment.declined.is_none_or(|known| known.revision < *revision) {
                order.payment.declined = Some(Decline { revision: *revision, code: *code, at });
            }
        }
        Event::PaymentVoided => compensation(&mut order, CompensationKind::Voided, at),
        Event::PaymentRefunded { amount } => {
            compensation(&mut order, CompensationKind::Refunded(*amount), at);
        }
        Event::RefundRefused => {
            if order.cancellation.is_some() {
                order.payment.refund_refused_at.get_or_insert(at);
            }
        }
        Event::ConfirmationSent { failure } => {
            order.notified.get_or_insert(MailResult { failure: failure.clone(), at });
        }
        Event::ReservationExpired { .. } | Event::DeadlinePassed | Event::Noted => {}
    }
    if order != *before {
        order.updated_at = at;
    }
    order
}

/// Payment answers a cancellation once: the first answer stands.
fn compensation(order: &mut Order, how: CompensationKind, at: OffsetDateTime) {
    if order.cancellation.is_some() {
        order.payment.compensation.get_or_insert(Compensation { how, at });
    }
}

/// Records what this service concluded and announces.
pub(super) fn say(mut order: Order, conclusion: Conclusion, at: OffsetDateTime) -> Order {
    match conclusion {
        Conclusion::AwaitingPayment => {}
        Conclusion::Amended(next) => {
            let before = mem::replace(&mut order.present, next);
            order.superseded.push(before);
        }
        Conclusion::Confirmed => order.confirmed_at = Some(at),
        Conclusion::Shipped(shipment) => order.shipment = Some(shipment),
        Conclusion::Delivered => {
            if let Some(shipment) = &mut order.shipment {
                shipment.delivered_at = Some(at);
            }
        }
        Conclusion::Cancelled(cancellation) => order.cancellation = Some(cancellation),
    }
    if order.phase() != Phase::Open {
        order.superseded.clear();
    }
    order.updated_at = at;
    order.version = order.version.saturating_add(1);
    order
}

#[cfg(test)]
mod tests;
