//! A row of `orders`: what the audit keeps of it.

use serde::Deserialize;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{seconds, version};
use crate::audit::{
    content::{self, Amount, Contents, LineRow, TERMS},
    facts::{CompensationState, Order, OrderEnd},
    fold::OrderFold,
    tag,
};

pub(super) struct OrderRow {
    pub(super) order_id: Uuid,
    pub(super) customer_id: String,
    pub(super) status: String,
    pub(super) method: String,
    pub(super) pay_within: i32,
    pub(super) revision: i32,
    pub(super) total: i64,
    pub(super) currency: String,
    pub(super) lines: Json<Vec<LineRow>>,
    pub(super) cause: Option<String>,
    pub(super) revised_at: OffsetDateTime,
    pub(super) superseded: Option<Json<Vec<RevisionRow>>>,
    pub(super) reserved_revision: Option<i32>,
    pub(super) reserved_at: Option<OffsetDateTime>,
    pub(super) rejected_revision: Option<i32>,
    pub(super) rejected_at: Option<OffsetDateTime>,
    pub(super) released_at: Option<OffsetDateTime>,
    pub(super) captured_revision: Option<i32>,
    pub(super) captured: Option<i64>,
    pub(super) captured_at: Option<OffsetDateTime>,
    pub(super) declined_revision: Option<i32>,
    pub(super) decline_code: Option<String>,
    pub(super) declined_at: Option<OffsetDateTime>,
    pub(super) compensated_at: Option<OffsetDateTime>,
    pub(super) refunded: Option<i64>,
    pub(super) refund_refused_at: Option<OffsetDateTime>,
    pub(super) confirmed_at: Option<OffsetDateTime>,
    pub(super) cancelled_at: Option<OffsetDateTime>,
    pub(super) cancel_reason: Option<String>,
    pub(super) carrier: Option<String>,
    pub(super) tracking_number: Option<String>,
    pub(super) shipped_at: Option<OffsetDateTime>,
    pub(super) delivered_at: Option<OffsetDateTime>,
    pub(super) notified_at: Option<OffsetDateTime>,
    pub(super) notify_failure: Option<String>,
    pub(super) due_at: Option<OffsetDateTime>,
    pub(super) version: i64,
    pub(super) heard_stock: i64,
    pub(super) heard_payments: i64,
    pub(super) heard_notifications: i64,
    pub(super) events: i32,
}

/// What an order asked for before it was amended. The amount is in ten-thousandths.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RevisionRow {
    total: i64,
    lines: Vec<LineRow>,
    cause: Option<String>,
}

impl OrderRow {
    pub(super) fn order(&self) -> anyhow::Result<Order> {
        let ending = match self.status.as_str() {
            "pending" | "payment_pending" | "paid" => OrderEnd::Open,
            "confirmed" | "shipped" | "delivered" => OrderEnd::Confirmed,
            "cancelled" => OrderEnd::Cancelled,
            other => anyhow::bail!("order-svc knows a status {other}, the audit does not"),
        };
        let compensation = match (self.compensated_at, self.refunded) {
            (None, _) if ending == OrderEnd::Cancelled => CompensationState::Owed,
            (None, _) => CompensationState::NotAsked,
            (Some(_), None) => CompensationState::Voided,
            (Some(_), Some(_)) => CompensationState::Refunded,
        };
        let heard = [self.heard_stock, self.heard_payments, self.heard_notifications];
        Ok(Order {
            ending,
            customer: content::digest(&self.customer_id),
            total: self.total(),
            basket: basket(&self.lines),
            revision: number(self.revision),
            is_stock_undone: self.released_at.is_some(),
            compensation,
            due_at: seconds(self.due_at),
            is_deferred: self.method == "deferred",
            version: version(self.version),
            heard: heard.map(version),
            events: version(self.events.into()),
            foretold: self.foretold(),
            reserved_terms: self.reserved_terms(),
            folded: self.folded().digest(),
        })
    }

    fn total(&self) -> Amount {
        Amount::new(self.total, &self.currency)
    }

    fn lines(&self) -> u32 {
        content::lines_of(&self.lines, &self.currency)
    }

    /// What was published about the order: once, or as often as it was amended. Of an amended order
    /// the rows do not say until when earlier revisions had to be paid.
    fn foretold(&self) -> Contents {
        let mut foretold = Contents::default();
        let (customer, present) = (self.customer_id.as_str(), number(self.revision));
        for (revision, (total, lines, cause)) in (1..).zip(self.revisions()) {
            let digest = content::lines_of(lines, &self.currency);
            let ordered = content::ordered(customer, revision, total, digest);
            let (tag, said) = match cause {
                None => (tag::PLACED, ordered),
                Some(cause) => (tag::AMENDED, content::amended(ordered, cause)),
            };
            for (tag, said) in [(tag, said), (TERMS, self.terms(revision, total, lines))] {
                foretold[tag] = foretold[tag].wrapping_add(said);
            }
        }
        let lines = self.lines();
        foretold[tag::CONFIRMED] = content::ordered(customer, present, self.total(), lines);
        if let (1, Some(pay_by)) = (present, self.pay_by()) {
            foretold[tag::AWAITING] = content::awaiting(customer, present, self.total(), pay_by);
        }
        if let Some(reason) = &self.cancel_reason {
            let cancelled = content::cancelled(customer, present, self.total(), reason);
            foretold[tag::CANCELLED] = cancelled;
        }
        if let (Some(carrier), Some(number)) = (&self.carrier, &self.tracking_number) {
            foretold[tag::SHIPPED] = content::shipped(customer, present, (carrier, number));
            foretold[tag::DELIVERED] = content::delivered(customer, present);
        }
        foretold
    }

    /// Total, lines and cause of each revision, the first one first.
    fn revisions(&self) -> impl Iterator<Item = (Amount, &[LineRow], Option<&str>)> {
        let superseded = self.superseded.iter().flat_map(|rows| rows.iter()).map(|it| {
            (Amount::new(it.total, &self.currency), it.lines.as_slice(), it.cause.as_deref())
        });
        superseded.chain([(self.total(), self.lines.as_slice(), self.cause.as_deref())])
    }

    fn terms(&self, revision: u32, total: Amount, lines: &[LineRow]) -> u32 {
        content::terms(revision, basket(lines), &self.customer_id, total, &self.method)
    }

    fn reserved_terms(&self) -> u32 {
        let reserved = self.reserved_revision.map(number);
        let found = (1..).zip(self.revisions()).find(|(revision, _)| Some(*revision) == reserved);
        found.map_or(0, |(revision, (total, lines, _))| self.terms(revision, total, lines))
    }

    fn pay_by(&self) -> Option<i64> {
        let is_present = self.reserved_revision == Some(self.revision);
        let reserved = self.reserved_at.filter(|_| is_present)?;
        Some(content::micros(reserved) + i64::from(self.pay_within) * 1_000_000)
    }

    /// What the order's history has to come to.
    fn folded(&self) -> OrderFold {
        let of = |revision: Option<i32>| revision.map(number);
        let captured = of(self.captured_revision).zip(self.captured).zip(self.captured_at);
        let declined = of(self.declined_revision).zip(self.decline_code.clone());
        let declined = declined.zip(self.declined_at);
        let shipped = self.carrier.clone().zip(self.tracking_number.clone()).zip(self.shipped_at);
        OrderFold {
            method: self.method.clone(),
            pay_within: number(self.pay_within),
            revision: number(self.revision),
            lines: self.lines(),
            total: self.total(),
            cause: self.cause.clone(),
            revised_at: Some(self.revised_at),
            reserved: of(self.reserved_revision).zip(self.reserved_at),
            rejected: of(self.rejected_revision).zip(self.rejected_at),
            released_at: self.released_at,
            captured: captured.map(|((revision, amount), at)| (revision, amount, at)),
            declined: declined.map(|((revision, code), at)| (revision, code, at)),
            compensated: self.compensated_at.map(|at| (self.refunded, at)),
            refund_refused_at: self.refund_refused_at,
            confirmed_at: self.confirmed_at,
            cancelled: self.cancel_reason.clone().zip(self.cancelled_at),
            shipped: shipped.map(|((carrier, number), at)| (carrier, number, at)),
            delivered_at: self.delivered_at,
            notified: self.notified_at.map(|at| (self.notify_failure.clone(), at)),
        }
    }
}

fn number(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}

/// How many pieces of which SKU; lines without stock have none.
fn basket(lines: &[LineRow]) -> u32 {
    content::basket(lines.iter().filter_map(|line| Some((line.sku.as_deref()?, line.quantity))))
}
