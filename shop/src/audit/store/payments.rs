//! What payment-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;

use super::{Each, Which, counted, forget, version};
use crate::audit::check::Counted;
use crate::audit::facts::{Orders, Payment, Undoing};

/// Reads the payments of orders; `each` is given every order's count of events.
pub(in crate::audit) async fn payments(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.payment = None);
    let mut rows = sqlx::query!(
        r#"-- audit.payments
        select
            p.order_id as "order_id!",
            case p.standing when 'captured' then (p.tried * 10000)::bigint end as captured,
            (coalesce(p.refunded, 0) * 10000)::bigint as "refunded!",
            coalesce(p.tried_method = 'card', false) as "is_by_card!",
            p.undoing as "undoing!",
            c.order_id is not null as "is_calling!",
            p.version as "version!",
            p.heard_orders as "heard_orders!",
            p.heard_stock as "heard_stock!"
        from payments p
        left join provider_calls c on c.order_id = p.order_id
        where $1::uuid[] is null or p.order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let undoing = match row.undoing.as_str() {
            "not_asked" => Undoing::NotAsked,
            "owed" => Undoing::Owed,
            "voided" => Undoing::Voided,
            "refunded" => Undoing::Refunded,
            other => anyhow::bail!("payment-svc knows an undoing {other}, the audit does not"),
        };
        let order = row.order_id.as_u128();
        each(order, row.version);
        orders.of(order).payment = Some(Payment {
            captured: row.captured,
            refunded: row.refunded,
            is_by_card: row.is_by_card,
            undoing,
            is_calling: row.is_calling,
            version: version(row.version),
            heard_orders: version(row.heard_orders),
            heard_stock: version(row.heard_stock),
        });
    }
    Ok(())
}

/// Every account against the sum of its entries, and what it holds against its holds.
pub(in crate::audit) async fn accounts(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.accounts
        with moved as (
            select
                customer_id,
                sum(amount * ((credit in ('available', 'held'))::int - (debit in ('available', 'held'))::int)) as balance,
                sum(amount * ((credit = 'held')::int - (debit = 'held')::int)) as held
            from ledger_entries
            group by customer_id
        ),
        holding as (
            select customer_id, sum(amount) as held
            from holds
            where state = 'held'
            group by customer_id
        ),
        compared as (
            select
                customer_id,
                a.balance is not distinct from coalesce(m.balance, 0)
                and a.held = coalesce(m.held, 0)
                and a.held = coalesce(h.held, 0) as fits
            from accounts a
            full join moved m using (customer_id)
            full join holding h using (customer_id)
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(customer_id) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}

/// Every payment from an account against the entries of its order.
pub(in crate::audit) async fn captures(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.captures
        with moved as (
            select
                order_id,
                coalesce(sum(amount) filter (where kind = 'capture'), 0) as captured,
                coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunded
            from ledger_entries
            where kind in ('capture', 'refund')
            group by order_id
        ),
        paid as (
            select order_id, tried as captured, refunded
            from payments
            where standing = 'captured' and tried_method = 'wallet'
        ),
        compared as (
            select
                order_id,
                p.captured is not distinct from m.captured
                and p.refunded is not distinct from m.refunded as fits
            from paid p
            full join moved m using (order_id)
        )
        select
            count(*) as "checked!",
            count(*) filter (where not fits) as "wrong!",
            min(order_id::text) filter (where not fits) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}

/// Calls to the provider against the payments that wait for them.
pub(in crate::audit) async fn calls(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.calls
        with compared as (
            select
                order_id,
                coalesce(c.kind, 'none') = case
                    when p.standing = 'charging' then 'charge'
                    when p.refunding is not null then 'refund'
                    else 'none'
                end as fits
            from payments p
            full join provider_calls c using (order_id)
            where c.order_id is not null or p.standing = 'charging' or p.refunding is not null
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(order_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}
