//! What an order's history comes to: the order as it stands, if order-svc has written both well.
//!
//! The rules are those of order-svc's own fold, said again: of two answers to one question the first
//! stands, and of answers to several revisions the one to the highest.

use proto::{
    Event,
    notifications::notification_event::Event as Notification,
    orders::{Line, order_event::Event as Said},
    payments::{RefundCause, payment_event::Event as Payment},
    stock::stock_event::Event as Stock,
};
use time::OffsetDateTime;

use super::content::{self, Amount};

/// The template of the notification that is a step of the order.
const CONFIRMATION: &str = "order_confirmation";

/// An order, as its row and its history both have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct OrderFold {
    pub(super) method: String,
    pub(super) pay_within: u32,
    pub(super) revision: u32,
    pub(super) lines: u32,
    pub(super) total: Amount,
    pub(super) cause: Option<String>,
    pub(super) revised_at: Option<OffsetDateTime>,
    pub(super) reserved: Option<(u32, OffsetDateTime)>,
    pub(super) rejected: Option<(u32, OffsetDateTime)>,
    pub(super) released_at: Option<OffsetDateTime>,
    pub(super) captured: Option<(u32, i64, OffsetDateTime)>,
    pub(super) declined: Option<(u32, String, OffsetDateTime)>,
    /// What was refunded, nothing where the payment was voided, and when.
    pub(super) compensated: Option<(Option<i64>, OffsetDateTime)>,
    pub(super) refund_refused_at: Option<OffsetDateTime>,
    pub(super) confirmed_at: Option<OffsetDateTime>,
    pub(super) cancelled: Option<(String, OffsetDateTime)>,
    pub(super) shipped: Option<(String, String, OffsetDateTime)>,
    pub(super) delivered_at: Option<OffsetDateTime>,
    pub(super) notified: Option<(Option<String>, OffsetDateTime)>,
}

impl OrderFold {
    /// The order as a number.
    pub(super) fn digest(&self) -> u32 {
        content::digest(self)
    }

    /// Takes in the next event of the history.
    pub(super) fn take(&mut self, event: &Event, at: OffsetDateTime) {
        match event {
            Event::Orders(said) => self.said(said, at),
            Event::Stock(stock) => self.stock(stock, at),
            Event::Payments(payment) => self.payment(payment, at),
            Event::Notifications(told) => self.notified(told, at),
            Event::Catalogue(_) => {}
        }
    }

    fn said(&mut self, said: &Said, at: OffsetDateTime) {
        match said {
            Said::OrderPlaced(it) => {
                self.method = it
                    .terms
                    .as_ref()
                    .map(|terms| content::method(terms.method()))
                    .unwrap_or_default();
                self.pay_within = it.pay_within_seconds;
                let total = Amount::from(&it.total);
                self.revise((it.revision, &it.lines, total), None, at);
            }
            Said::OrderAmended(it) => {
                let total = Amount::from(&it.total);
                let cause = content::cause(it.cause());
                self.revise((it.revision, &it.lines, total), Some(cause), at);
            }
            Said::OrderAwaitingPayment(_) => {}
            Said::OrderConfirmed(_) => self.confirmed_at = Some(at),
            Said::OrderShipped(it) => {
                self.shipped = Some((it.carrier.clone(), it.tracking_number.clone(), at));
            }
            Said::OrderDelivered(_) => self.delivered_at = Some(at),
            Said::OrderCancelled(it) => {
                self.cancelled = Some((content::reason(it.reason()), at));
            }
        }
    }

    fn revise(
        &mut self,
        (revision, lines, total): (u32, &[Line], Amount),
        cause: Option<String>,
        at: OffsetDateTime,
    ) {
        (self.revision, self.lines, self.total) = (revision, content::said_lines(lines), total);
        (self.cause, self.revised_at) = (cause, Some(at));
    }

    fn stock(&mut self, stock: &Stock, at: OffsetDateTime) {
        let is_higher = |known: Option<(u32, OffsetDateTime)>, revision| {
            known.is_none_or(|(highest, _)| highest < revision)
        };
        match stock {
            Stock::StockReserved(it) if is_higher(self.reserved, it.revision) => {
                self.reserved = Some((it.revision, at));
            }
            Stock::StockRejected(it) if is_higher(self.rejected, it.revision) => {
                self.rejected = Some((it.revision, at));
            }
            Stock::StockReleased(_) if self.cancelled.is_some() => {
                self.released_at.get_or_insert(at);
            }
            Stock::StockReserved(_)
            | Stock::StockRejected(_)
            | Stock::StockReleased(_)
            | Stock::ReservationExpired(_) => {}
        }
    }

    fn payment(&mut self, payment: &Payment, at: OffsetDateTime) {
        match payment {
            Payment::PaymentCaptured(it) => {
                let amount = Amount::from(&it.amount).sum;
                self.captured.get_or_insert((it.revision, amount, at));
            }
            Payment::PaymentDeclined(it) => {
                if self.declined.as_ref().is_none_or(|known| known.0 < it.revision) {
                    self.declined = Some((it.revision, content::decline(it.code()), at));
                }
            }
            Payment::PaymentVoided(_) => self.compensate(None, at),
            Payment::PaymentRefunded(it) if it.cause() == RefundCause::OrderCancelled => {
                self.compensate(Some(Amount::from(&it.amount).sum), at);
            }
            Payment::RefundRefused(it)
                if it.cause() == RefundCause::OrderCancelled && self.cancelled.is_some() =>
            {
                self.refund_refused_at.get_or_insert(at);
            }
            Payment::PaymentRefunded(_) | Payment::RefundRefused(_) => {}
        }
    }

    fn compensate(&mut self, refunded: Option<i64>, at: OffsetDateTime) {
        if self.cancelled.is_some() {
            self.compensated.get_or_insert((refunded, at));
        }
    }

    fn notified(&mut self, told: &Notification, at: OffsetDateTime) {
        let (template, failure) = match told {
            Notification::NotificationSent(it) => (&it.template, None),
            Notification::NotificationFailed(it) => (&it.template, Some(it.failure.clone())),
        };
        if template == CONFIRMATION {
            self.notified.get_or_insert((failure, at));
        }
    }
}
