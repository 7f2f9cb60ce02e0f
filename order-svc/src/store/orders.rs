//! Orders: one row each.

mod columns;

use std::sync::Arc;

use proto::{Currency, CustomerId, Money, OrderId, PaymentId};
use rust_decimal::Decimal;
use sqlx::{PgConnection, types::Json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use self::columns::{
    LineRow, compensation_word, lines_row, refunded, stored_revision, stored_seconds,
};
use super::invalid;
use crate::{
    domain::{
        Cancellation, Capture, Compensation, CompensationKind, Decline, DeclineCode, Line,
        MailResult, Method, Order, Payment, Reason, Rejection, Reservation, Stock,
    },
    world::{LastVersions, Root},
};

/// Reads orders; `$tail` chooses which.
macro_rules! select_orders {
    ($head:literal, $tail:literal, $ids:expr) => {
        sqlx::query_as!(
            Row,
            $head
                + "
select order_id, customer_id, revision, version, events, method, currency, total,
       lines as \"lines: Json<Vec<LineRow>>\", note, trace_id, placed_at, updated_at,
       reserved_revision, reserved_at, rejected_revision, rejected_at, released_at, compensation, refunded, compensated_at,
       payment_id, captured_revision, captured, captured_at, declined_revision, decline_code, declined_at,
       confirmed_at, cancelled_at, cancel_reason, cancel_detail, cancelled_by, pay_within, pay_by, notified_at,
       notify_failure, heard_stock, heard_payments, heard_notifications
from orders
where order_id = any($1)
"
                + $tail,
            $ids
        )
    };
}

/// Locks the orders that exist, in the order of their ids: everybody who locks several does so, so
/// that nobody deadlocks.
pub async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Root>> {
    let rows = select_orders!("-- orders.lock", "order by order_id for update", ids).fetch_all(db);
    rows.await?.into_iter().map(Row::stored).collect()
}

/// Locks those orders that no other session holds, and returns the ones that are held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- orders.held
        with free as (
            select order_id
            from orders
            where order_id = any($1)
            order by order_id
            for update skip locked
        )
        select order_id
        from orders
        where order_id = any($1)
          and order_id not in (select order_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// The orders that exist, newest first.
pub async fn find_all(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Root>> {
    let rows = select_orders!("-- orders.find_all", "order by order_id desc", ids).fetch_all(db);
    rows.await?.into_iter().map(Row::stored).collect()
}

/// One order, if it exists.
pub async fn find(db: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<Root>> {
    Ok(find_all(db, &[id.uuid()]).await?.pop())
}

/// Adds new orders, sorted by id: as they were placed, before any answer.
pub async fn insert(db: &mut PgConnection, orders: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let of =
        |take: fn(&Root) -> Uuid| orders.iter().map(|(_, stored)| take(stored)).collect::<Vec<_>>();
    let texts =
        |take: fn(&Order) -> &str| orders.iter().map(|(_, s)| take(&s.order)).collect::<Vec<_>>();
    let lines: Vec<Json<Vec<LineRow>>> = orders.iter().map(|(_, s)| lines_row(&s.order)).collect();
    let totals: Vec<Decimal> = orders.iter().map(|(_, s)| s.order.total.amount()).collect();
    let traces: Vec<Option<&[u8]>> =
        orders.iter().map(|(_, s)| s.trace_id.as_ref().map(<[u8; 16]>::as_slice)).collect();
    let placed: Vec<OffsetDateTime> = orders.iter().map(|(_, s)| s.order.placed_at).collect();
    let pay_within: Vec<i32> =
        orders.iter().map(|(_, s)| stored_seconds(s.order.pay_within)).collect();
    let done = sqlx::query!(
        "-- orders.insert
        insert into orders
            (order_id, customer_id, status, revision, version, events, method, currency, total, lines, note, trace_id,
             placed_at, updated_at, pay_within)
        select order_id, customer_id, 'pending', 1, 1, 1, method, currency, total, lines, note, trace_id,
               placed_at, placed_at, pay_within
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::jsonb[], $7::text[],
                    $8::bytea[], $9::timestamptz[], $10::int[])
            as o (order_id, customer_id, method, currency, total, lines, note, trace_id, placed_at, pay_within)",
        &of(|stored| stored.order.id.uuid()),
        &texts(|order| order.customer.as_str()) as &[&str],
        &texts(|order| order.method.word()) as &[&str],
        &texts(|order| order.total.currency().code()) as &[&str],
        &totals,
        &lines as &[Json<Vec<LineRow>>],
        &texts(|order| &order.note) as &[&str],
        &traces as &[Option<&[u8]>],
        &placed,
        &pay_within
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

/// Writes what may change of orders, sorted by id.
#[expect(
    clippy::too_many_lines,
    reason = "one statement with a column for each thing that changes"
)]
/// Writes changed orders back.
pub async fn update(db: &mut PgConnection, orders: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($order:ident => $value:expr) => {
            &orders
                .iter()
                .map(|(_, stored)| {
                    let $order = &stored.order;
                    $value
                })
                .collect::<Vec<_>>()
        };
        (stored $stored:ident => $value:expr) => {
            &orders.iter().map(|(_, $stored)| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query!(
        "-- orders.update
        update orders o
        set status = n.status, revision = n.revision, version = n.version, events = n.events,
            updated_at = n.updated_at,
            reserved_revision = n.reserved_revision, reserved_at = n.reserved_at,
            rejected_revision = n.rejected_revision, rejected_at = n.rejected_at, released_at = n.released_at,
            compensation = n.compensation, refunded = n.refunded, compensated_at = n.compensated_at, payment_id = n.payment_id,
            captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
            declined_revision = n.declined_revision, decline_code = n.decline_code, declined_at = n.declined_at,
            confirmed_at = n.confirmed_at, cancelled_at = n.cancelled_at, cancel_reason = n.cancel_reason,
            cancel_detail = n.cancel_detail, cancelled_by = n.cancelled_by, pay_by = n.pay_by,
            notified_at = n.notified_at, notify_failure = n.notify_failure,
            heard_stock = n.heard_stock, heard_payments = n.heard_payments,
            heard_notifications = n.heard_notifications
        from unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::int[], $6::timestamptz[],
                    $7::int[], $8::timestamptz[], $9::int[], $10::timestamptz[], $11::timestamptz[],
                    $12::text[], $13::numeric[], $14::timestamptz[], $15::uuid[],
                    $16::int[], $17::numeric[], $18::timestamptz[], $19::int[], $20::text[], $21::timestamptz[],
                    $22::timestamptz[], $23::timestamptz[], $24::text[], $25::text[], $26::text[],
                    $27::timestamptz[], $28::timestamptz[], $29::text[], $30::bigint[], $31::bigint[], $32::bigint[])
            as n (order_id, status, revision, version, events, updated_at,
                  reserved_revision, reserved_at, rejected_revision, rejected_at, released_at,
                  compensation, refunded, compensated_at, payment_id,
                  captured_revision, captured, captured_at, declined_revision, decline_code, declined_at,
                  confirmed_at, cancelled_at, cancel_reason, cancel_detail, cancelled_by,
                  pay_by, notified_at, notify_failure, heard_stock, heard_payments, heard_notifications)
        where o.order_id = n.order_id",
        column!(order => order.id.uuid()),
        column!(order => order.status().word()) as &[&str],
        column!(order => stored_revision(order.revision)),
        column!(order => order.version),
        column!(stored s => s.events),
        column!(order => order.updated_at),
        column!(order => order.stock.reserved.map(|r| stored_revision(r.revision))) as &[Option<i32>],
        column!(order => order.stock.reserved.map(|r| r.at)) as &[Option<OffsetDateTime>],
        column!(order => order.stock.rejected.map(|r| stored_revision(r.revision))) as &[Option<i32>],
        column!(order => order.stock.rejected.map(|r| r.at)) as &[Option<OffsetDateTime>],
        column!(order => order.stock.released_at) as &[Option<OffsetDateTime>],
        column!(order => order.payment.compensation.map(|u| compensation_word(u.how))) as &[Option<&str>],
        column!(order => order.payment.compensation.and_then(|u| refunded(u.how))) as &[Option<Decimal>],
        column!(order => order.payment.compensation.map(|u| u.at)) as &[Option<OffsetDateTime>],
        column!(order => order.payment.id.map(PaymentId::uuid)) as &[Option<Uuid>],
        column!(order => order.payment.captured.map(|c| stored_revision(c.revision))) as &[Option<i32>],
        column!(order => order.payment.captured.map(|c| c.amount.amount())) as &[Option<Decimal>],
        column!(order => order.payment.captured.map(|c| c.at)) as &[Option<OffsetDateTime>],
        column!(order => order.payment.declined.map(|d| stored_revision(d.revision))) as &[Option<i32>],
        column!(order => order.payment.declined.map(|d| d.code.word())) as &[Option<&str>],
        column!(order => order.payment.declined.map(|d| d.at)) as &[Option<OffsetDateTime>],
        column!(order => order.confirmed_at) as &[Option<OffsetDateTime>],
        column!(order => order.cancellation.as_ref().map(|c| c.at)) as &[Option<OffsetDateTime>],
        column!(order => order.cancellation.as_ref().map(|c| c.reason.word())) as &[Option<&str>],
        column!(order => order.cancellation.as_ref().map(|c| &*c.detail)) as &[Option<&str>],
        column!(order => order.cancellation.as_ref().and_then(|c| c.by.as_deref())) as &[Option<&str>],
        column!(order => order.pay_by) as &[Option<OffsetDateTime>],
        column!(order => order.notified.as_ref().map(|n| n.at)) as &[Option<OffsetDateTime>],
        column!(order => order.notified.as_ref().and_then(|n| n.failure.as_deref())) as &[Option<&str>],
        column!(stored s => s.heard.stock),
        column!(stored s => s.heard.payments),
        column!(stored s => s.heard.notifications)
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

struct Row {
    order_id: Uuid,
    customer_id: String,
    revision: i32,
    version: i64,
    events: i32,
    method: String,
    currency: String,
    total: Decimal,
    lines: Json<Vec<LineRow>>,
    note: String,
    trace_id: Option<Vec<u8>>,
    placed_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    reserved_revision: Option<i32>,
    reserved_at: Option<OffsetDateTime>,
    rejected_revision: Option<i32>,
    rejected_at: Option<OffsetDateTime>,
    released_at: Option<OffsetDateTime>,
    compensation: Option<String>,
    refunded: Option<Decimal>,
    compensated_at: Option<OffsetDateTime>,
    payment_id: Option<Uuid>,
    captured_revision: Option<i32>,
    captured: Option<Decimal>,
    captured_at: Option<OffsetDateTime>,
    declined_revision: Option<i32>,
    decline_code: Option<String>,
    declined_at: Option<OffsetDateTime>,
    confirmed_at: Option<OffsetDateTime>,
    cancelled_at: Option<OffsetDateTime>,
    cancel_reason: Option<String>,
    cancel_detail: Option<String>,
    cancelled_by: Option<String>,
    pay_within: i32,
    pay_by: Option<OffsetDateTime>,
    notified_at: Option<OffsetDateTime>,
    notify_failure: Option<String>,
    heard_stock: i64,
    heard_payments: i64,
    heard_notifications: i64,
}

impl Row {
    fn stored(self) -> sqlx::Result<Root> {
        let currency =
            Currency::parse(&self.currency).map_err(|wrong| invalid("a currency", wrong))?;
        let heard = LastVersions {
            stock: self.heard_stock,
            payments: self.heard_payments,
            notifications: self.heard_notifications,
        };
        let trace_id = self.trace_id.as_deref().and_then(|id| id.try_into().ok());
        Ok(Root { trace_id, heard, events: self.events, order: self.order(currency)? })
    }

    fn order(self, currency: Currency) -> sqlx::Result<Order> {
        let stock = self.stock()?;
        let payment = self.payment(currency)?;
        let cancellation = self.cancellation()?;
        let notified = self
            .notified_at
            .map(|at| MailResult { failure: self.notify_failure.as_deref().map(Arc::from), at });
        let line = |row: LineRow| {
            Ok(Line {
                sku: row.sku,
                name: row.name,
                quantity: row.quantity,
                unit_price: money(row.unit_price, currency)?,
            })
        };
        Ok(Order {
            id: OrderId::new(self.order_id),
            customer: CustomerId::parse(&self.customer_id)
                .map_err(|wrong| invalid("a customer's id", wrong))?,
            lines: self.lines.0.into_iter().map(line).collect::<sqlx::Result<_>>()?,
            total: money(self.total, currency)?,
            method: Method::parse(&self.method).ok_or_else(|| invalid("a method", &self.method))?,
            note: self.note.into(),
            placed_at: self.placed_at,
            updated_at: self.updated_at,
            revision: revision(self.revision)?,
            version: self.version,
            stock,
            payment,
            confirmed_at: self.confirmed_at,
            cancellation,
            pay_within: Duration::seconds(self.pay_within.into()),
            pay_by: self.pay_by,
            notified,
        })
    }

    fn stock(&self) -> sqlx::Result<Stock> {
        let reserved = self.reserved_revision.zip(self.reserved_at);
        let rejected = self.rejected_revision.zip(self.rejected_at);
        Ok(Stock {
            reserved: reserved
                .map(|(number, at)| {
                    Ok::<_, sqlx::Error>(Reservation { revision: revision(number)?, at })
                })
                .transpose()?,
            rejected: rejected
                .map(|(number, at)| {
                    Ok::<_, sqlx::Error>(Rejection { revision: revision(number)?, at })
                })
                .transpose()?,
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
                let code = DeclineCode::parse(code).ok_or_else(|| invalid("a decline", code))?;
                Some(Decline { revision: revision(number)?, code, at })
            }
            _ => None,
        };
        let how = match (self.compensation.as_deref(), self.refunded) {
            (Some("voided"), None) => Some(CompensationKind::Voided),
            (Some("refunded"), Some(amount)) => {
                Some(CompensationKind::Refunded(money(amount, currency)?))
            }
            _ => None,
        };
        Ok(Payment {
            id: self.payment_id.map(PaymentId::new),
            captured,
            declined,
            compensation: how.zip(self.compensated_at).map(|(how, at)| Compensation { how, at }),
        })
    }

    fn cancellation(&self) -> sqlx::Result<Option<Cancellation>> {
        let (Some(at), Some(reason)) = (self.cancelled_at, &self.cancel_reason) else {
            return Ok(None);
        };
        Ok(Some(Cancellation {
            reason: Reason::parse(reason).ok_or_else(|| invalid("a reason", reason))?,
            detail: self.cancel_detail.as_deref().unwrap_or_default().into(),
            by: self.cancelled_by.as_deref().map(Arc::from),
            at,
        }))
    }
}

fn money(amount: Decimal, currency: Currency) -> sqlx::Result<Money> {
    Money::new(amount, currency).map_err(|wrong| invalid("an amount", wrong))
}

fn revision(number: i32) -> sqlx::Result<u32> {
    u32::try_from(number).map_err(|_| invalid("a revision", number))
}
