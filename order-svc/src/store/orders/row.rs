//! A row of `orders`, and the order that it stands for.

use std::sync::Arc;

use mailbox::invalid;
use proto::{Currency, CustomerId, Money, OrderId, PaymentId};
use rust_decimal::Decimal;
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::columns::LineRow;
use crate::{
    domain::{
        AmendmentCause, Cancellation, Capture, Compensation, CompensationKind, Decline,
        DeclineCode, Line, MailResult, Method, Order, Payment, Reason, Rejection, Reservation,
        Revision, Shipment, Stock,
    },
    world::{LastVersions, Root},
};

pub(super) struct Row {
    pub(super) order_id: Uuid,
    pub(super) customer_id: String,
    pub(super) method: String,
    pub(super) currency: String,
    pub(super) pay_within: i32,
    pub(super) trace_id: Option<Vec<u8>>,
    pub(super) placed_at: OffsetDateTime,
    pub(super) revision: i32,
    pub(super) total: Decimal,
    pub(super) lines: Json<Vec<LineRow>>,
    pub(super) cause: Option<String>,
    pub(super) revised_at: OffsetDateTime,
    pub(super) version: i64,
    pub(super) events: i32,
    pub(super) updated_at: OffsetDateTime,
    pub(super) reserved_revision: Option<i32>,
    pub(super) reserved_at: Option<OffsetDateTime>,
    pub(super) payment_id: Option<Uuid>,
    pub(super) captured_revision: Option<i32>,
    pub(super) captured: Option<Decimal>,
    pub(super) captured_at: Option<OffsetDateTime>,
    pub(super) confirmed_at: Option<OffsetDateTime>,
    pub(super) notified_at: Option<OffsetDateTime>,
    pub(super) heard_stock: i64,
    pub(super) heard_payments: i64,
    pub(super) heard_notifications: i64,
    pub(super) rejected_revision: Option<i32>,
    pub(super) rejected_at: Option<OffsetDateTime>,
    pub(super) declined_revision: Option<i32>,
    pub(super) decline_code: Option<String>,
    pub(super) declined_at: Option<OffsetDateTime>,
    pub(super) cancelled_at: Option<OffsetDateTime>,
    pub(super) cancel_reason: Option<String>,
    pub(super) cancel_detail: Option<String>,
    pub(super) cancelled_by: Option<String>,
    pub(super) released_at: Option<OffsetDateTime>,
    pub(super) compensated_at: Option<OffsetDateTime>,
    pub(super) refunded: Option<Decimal>,
    pub(super) refund_refused_at: Option<OffsetDateTime>,
    pub(super) notify_failure: Option<String>,
    pub(super) carrier: Option<String>,
    pub(super) tracking_number: Option<String>,
    pub(super) shipped_at: Option<OffsetDateTime>,
    pub(super) delivered_at: Option<OffsetDateTime>,
}

impl Row {
    pub(super) fn stored(self) -> sqlx::Result<Root> {
        let currency = Currency::parse(&self.currency).map_err(invalid)?;
        let heard = LastVersions {
            stock: self.heard_stock,
            payments: self.heard_payments,
            notifications: self.heard_notifications,
        };
        let trace_id = self.trace_id.as_deref().and_then(|id| id.try_into().ok());
        Ok(Root { trace_id, heard, events: self.events, order: self.order(currency)? })
    }

    fn order(self, currency: Currency) -> sqlx::Result<Order> {
        let (stock, payment) = (self.stock()?, self.payment(currency)?);
        let (cancellation, shipment) = (self.cancellation()?, self.shipment());
        let notified = self
            .notified_at
            .map(|at| MailResult { failure: self.notify_failure.as_deref().map(Arc::from), at });
        let wanted = (self.lines, self.total, self.cause.as_deref());
        Ok(Order {
            id: OrderId::new(self.order_id),
            customer: CustomerId::parse(&self.customer_id).map_err(invalid)?,
            method: Method::parse(&self.method)
                .ok_or_else(|| invalid(format_args!("a method {}", self.method)))?,
            placed_at: self.placed_at,
            pay_within: Duration::seconds(self.pay_within.into()),
            present: stored_lines(self.revision, wanted, currency, self.revised_at)?,
            superseded: Vec::new(),
            updated_at: self.updated_at,
            version: self.version,
            stock,
            payment,
            confirmed_at: self.confirmed_at,
            cancellation,
            shipment,
            notified,
        })
    }

    fn stock(&self) -> sqlx::Result<Stock> {
        let reserved = self.reserved_revision.zip(self.reserved_at);
        let rejected = self.rejected_revision.zip(self.rejected_at);
        let reservation =
            |(number, at)| Ok::<_, sqlx::Error>(Reservation { revision: revision(number)?, at });
        let rejection =
            |(number, at)| Ok::<_, sqlx::Error>(Rejection { revision: revision(number)?, at });
        Ok(Stock {
            reserved: reserved.map(reservation).transpose()?,
            rejected: rejected.map(rejection).transpose()?,
            released_at: self.released_at,
        })
    }

    fn payment(&self, currency: Currency) -> sqlx::Result<Payment> {
        let captured = match (self.captured_revision, self.captured, self.captured_at) {
            (Some(number), Some(amount), Some(at)) => {
                Some(Capture { revision: revision(number)?, amount: money(amount, currency)?, at })
            }
            _ => None,
        };
        let declined = match (self.declined_revision, &self.decline_code, self.declined_at) {
            (Some(number), Some(code), Some(at)) => {
                let code = DeclineCode::parse(code)
                    .ok_or_else(|| invalid(format_args!("a decline {code}")))?;
                Some(Decline { revision: revision(number)?, code, at })
            }
            _ => None,
        };
        let how = match self.refunded {
            None => CompensationKind::Voided,
            Some(amount) => CompensationKind::Refunded(money(amount, currency)?),
        };
        Ok(Payment {
            id: self.payment_id.map(PaymentId::new),
            captured,
            declined,
            compensation: self.compensated_at.map(|at| Compensation { how, at }),
            refund_refused_at: self.refund_refused_at,
        })
    }

    fn cancellation(&self) -> sqlx::Result<Option<Cancellation>> {
        let (Some(at), Some(reason)) = (self.cancelled_at, &self.cancel_reason) else {
            return Ok(None);
        };
        Ok(Some(Cancellation {
            reason: Reason::parse(reason)
                .ok_or_else(|| invalid(format_args!("a reason {reason}")))?,
            detail: self.cancel_detail.as_deref().unwrap_or_default().into(),
            by: self.cancelled_by.as_deref().map(Arc::from),
            at,
        }))
    }

    fn shipment(&self) -> Option<Shipment> {
        Some(Shipment {
            carrier: self.carrier.as_deref()?.into(),
            tracking_number: self.tracking_number.as_deref()?.into(),
            at: self.shipped_at?,
            delivered_at: self.delivered_at,
        })
    }
}

/// A revision as it is stored: its lines, their total and its cause are columns of two tables.
pub(super) fn stored_lines(
    number: i32,
    (lines, total, cause): (Json<Vec<LineRow>>, Decimal, Option<&str>),
    currency: Currency,
    at: OffsetDateTime,
) -> sqlx::Result<Revision> {
    let line = |row: LineRow| {
        Ok(Line {
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: money(row.unit_price, currency)?,
        })
    };
    let known = |word: &str| {
        AmendmentCause::parse(word).ok_or_else(|| invalid(format_args!("a cause {word}")))
    };
    Ok(Revision {
        number: revision(number)?,
        lines: lines.0.into_iter().map(line).collect::<sqlx::Result<_>>()?,
        total: money(total, currency)?,
        cause: cause.map(known).transpose()?,
        at,
    })
}

fn money(amount: Decimal, currency: Currency) -> sqlx::Result<Money> {
    Money::new(amount, currency).map_err(invalid)
}

fn revision(number: i32) -> sqlx::Result<u32> {
    u32::try_from(number).map_err(|_| invalid(format_args!("a revision {number}")))
}
