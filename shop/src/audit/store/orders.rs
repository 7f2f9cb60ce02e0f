//! What order-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{CountedRow, Each, Which, forget, seconds, version};
use crate::audit::{
    check::CountResult,
    content::{self, Amount, Contents, LineRow, TERMS},
    facts::{CompensationState, Order, OrderEnd, Orders},
    history::HistoryRow,
    tag,
};

/// Reads the orders; `each` is called with every order's count of events.
pub(in crate::audit) async fn orders(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.order = None);
    let mut rows = sqlx::query_as!(
        OrderRow,
        r#"-- audit.orders
        select
            o.order_id as "order_id!",
            o.customer_id as "customer_id!",
            o.status as "status!",
            o.method as "method!",
            o.revision as "revision!",
            (o.total * 10000)::bigint as "total!",
            o.currency as "currency!",
            o.lines as "lines!: Json<Vec<LineRow>>",
            o.released_at is not null as "is_stock_undone!",
            o.compensation,
            o.cancel_reason,
            o.pay_by,
            d.due_at as "due_at?",
            o.version as "version!",
            o.heard_stock as "heard_stock!",
            o.heard_payments as "heard_payments!",
            o.heard_notifications as "heard_notifications!",
            o.events as "events!"
        from orders o
        left join order_deadlines d on d.order_id = o.order_id
        where $1::uuid[] is null or o.order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let order = row.order_id.as_u128();
        each(order, row.version);
        orders.of(order).order = Some(row.order()?);
    }
    Ok(())
}

struct OrderRow {
    order_id: Uuid,
    customer_id: String,
    status: String,
    method: String,
    revision: i32,
    total: i64,
    currency: String,
    lines: Json<Vec<LineRow>>,
    is_stock_undone: bool,
    compensation: Option<String>,
    cancel_reason: Option<String>,
    pay_by: Option<time::OffsetDateTime>,
    due_at: Option<time::OffsetDateTime>,
    version: i64,
    heard_stock: i64,
    heard_payments: i64,
    heard_notifications: i64,
    events: i32,
}

impl OrderRow {
    fn order(&self) -> anyhow::Result<Order> {
        let ending = match self.status.as_str() {
            "pending" | "payment_pending" | "paid" => OrderEnd::Open,
            "confirmed" | "published" | "delivered" => OrderEnd::Confirmed,
            "cancelled" => OrderEnd::Cancelled,
            other => anyhow::bail!("order-svc knows a status {other}, the audit does not"),
        };
        let compensation = match self.compensation.as_deref() {
            None if ending == OrderEnd::Cancelled => CompensationState::Owed,
            None => CompensationState::NotAsked,
            Some("voided") => CompensationState::Voided,
            Some("refunded") => CompensationState::Refunded,
            Some(other) => {
                anyhow::bail!("order-svc knows a compensation {other}, the audit does not")
            }
        };
        let pieces = self.lines.iter();
        let pieces = pieces.filter_map(|line| Some((line.sku.as_deref()?, line.quantity)));
        let heard = [self.heard_stock, self.heard_payments, self.heard_notifications];
        Ok(Order {
            ending,
            customer: content::digest(&self.customer_id),
            total: self.total(),
            basket: content::basket(pieces),
            revision: u32::try_from(self.revision).unwrap_or_default(),
            is_stock_undone: self.is_stock_undone,
            compensation,
            due_at: seconds(self.due_at),
            is_deferred: self.method == "deferred",
            version: version(self.version),
            heard: heard.map(version),
            events: version(self.events.into()),
            foretold: self.foretold(),
        })
    }

    fn total(&self) -> Amount {
        Amount::new(self.total, &self.currency)
    }

    /// What was published about an order that was never amended. The row does not say what an
    /// earlier revision was.
    fn foretold(&self) -> Contents {
        let mut foretold = Contents::default();
        if self.revision == 1 {
            let customer = self.customer_id.as_str();
            let lines = content::lines_of(&self.lines, &self.currency);
            let ordered = content::ordered(customer, 1, self.total(), lines);
            (foretold[tag::PLACED], foretold[tag::CONFIRMED]) = (ordered, ordered);
            foretold[TERMS] = content::terms(customer, self.total(), &self.method);
            if let Some(pay_by) = self.pay_by {
                let pay_by = content::micros(pay_by);
                foretold[tag::AWAITING] = content::awaiting(customer, 1, self.total(), pay_by);
            }
            if let Some(reason) = &self.cancel_reason {
                let cancelled = content::cancelled(customer, 1, self.total(), reason);
                foretold[tag::CANCELLED] = cancelled;
            }
        }
        foretold
    }
}

/// Reads every order's history: order by order, each in the order of its rows.
pub(in crate::audit) async fn history(
    db: &mut PgConnection,
    which: Which<'_>,
    mut each: impl FnMut(&HistoryRow),
) -> sqlx::Result<()> {
    let mut rows = sqlx::query!(
        r#"-- audit.history
        select
            order_id,
            seq,
            event_id,
            type as event_type,
            version,
            extract(epoch from at)::bigint as "at!",
            payload
        from order_events
        where $1::uuid[] is null or order_id = any ($1)
        order by order_id, seq"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        each(&HistoryRow {
            order: row.order_id.as_u128(),
            seq: row.seq,
            event_id: row.event_id,
            event_type: row.event_type,
            version: row.version,
            at: version(row.at),
            payload: row.payload,
        });
    }
    Ok(())
}

/// Compares every order with its own lines and answers: its total, its status, why it was
/// cancelled.
pub(in crate::audit) async fn sums(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.sums
        with compared as (
            select
                o.order_id,
                o.total = (
                    select coalesce(sum((line ->> 'unit_price')::numeric * (line ->> 'quantity')::bigint), 0)
                    from jsonb_array_elements(o.lines) as line
                )
                and case
                    when o.cancelled_at is not null then o.status = 'cancelled'
                    when o.confirmed_at is not null then o.status in ('confirmed', 'published', 'delivered')
                    when o.captured_at is not null then o.status = 'paid'
                    when o.reserved_revision = o.revision then o.status = 'payment_pending'
                    else o.status = 'pending'
                end
                and case o.cancel_reason
                    when 'insufficient_inventory' then o.rejected_at <= o.cancelled_at
                    when 'payment_declined' then o.declined_at <= o.cancelled_at
                    when 'payment_timeout' then o.pay_by <= o.cancelled_at
                    when 'reservation_expired' then exists (
                        select
                        from order_events e
                        where e.order_id = o.order_id
                          and e.type = 44
                    )
                    else o.cancel_reason is null or o.cancelled_by is not null
                end as fits
            from orders o
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(order_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await
    .map(CountResult::from)
}

/// Compares answers to `POST /v1/orders` that are still stored under an idempotency key with the
/// orders.
pub(in crate::audit) async fn answers(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.answers_of_orders
        with told as (
            select convert_from(body, 'UTF8')::jsonb ->> 'id' as order_id
            from idempotency_keys
            where route = 'POST /v1/orders'
              and status = 201
              and octet_length(body) > 0
        )
        select
            count(*) as "checked!",
            count(*) filter (where o.order_id is null) as "wrong!",
            min(t.order_id) filter (where o.order_id is null) as first
        from told t
        left join orders o on o.order_id = t.order_id::uuid"#
    )
    .fetch_one(db)
    .await
    .map(CountResult::from)
}

/// A product, as inventory-svc or order-svc has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::audit) struct ProductRow {
    pub(in crate::audit) sku: String,
    pub(in crate::audit) version: i64,
    pub(in crate::audit) content: u32,
}

/// The products against which order-svc checks orders.
pub(in crate::audit) async fn products_seen(
    db: &mut PgConnection,
) -> sqlx::Result<Vec<ProductRow>> {
    let rows = sqlx::query!(
        r#"-- audit.products_seen
        select sku, version, name, (price * 10000)::bigint as "price!", currency, available
        from products_seen"#
    );
    rows.fetch(db)
        .map_ok(|row| ProductRow {
            content: content::product(
                &row.name,
                Amount::new(row.price, &row.currency),
                row.available,
            ),
            sku: row.sku,
            version: row.version,
        })
        .try_collect()
        .await
}

/// Compares deadlines with the orders that they are for.
pub(in crate::audit) async fn deadlines(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.deadlines
        with compared as (
            select
                order_id,
                d.due_at is not distinct from case
                    when o.status in ('pending', 'payment_pending') and o.captured_at is null then o.pay_by
                end as fits
            from orders o
            full join order_deadlines d using (order_id)
            where d.order_id is not null or o.status in ('pending', 'payment_pending')
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(order_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await
    .map(CountResult::from)
}
