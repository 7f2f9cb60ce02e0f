//! Whether payment-svc's tables agree with one another: accounts, ledger, holds, refunds and calls.

use sqlx::PgConnection;

use crate::audit::check::CountResult;

/// Compares what the ledger says is held for each order with the holds: no hold may be overdrawn.
pub(in crate::audit) async fn held(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.held
        with moved as (
            select
                customer_id,
                order_id,
                sum(amount * ((credit = 'held')::int - (debit = 'held')::int)) as held
            from ledger_entries
            where 'held' in (debit, credit)
            group by customer_id, order_id
        ),
        compared as (
            select
                order_id::text as id,
                coalesce(m.held, 0) = case h.state when 'held' then h.amount else 0 end as fits
            from holds h
            full join moved m using (customer_id, order_id)
        )"
    )
}

/// Compares the answers to deposits and payments that are still stored under an idempotency key
/// with the ledger and the payments.
pub(in crate::audit) async fn answers(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.answers_of_payments
        with told as (
            select route, convert_from(body, 'UTF8')::jsonb as answer
            from idempotency_keys
            where status = 201
              and octet_length(body) > 0
              and (route = 'POST /v1/payments' or route like 'POST /v1/accounts/%/deposit')
        ),
        compared as (
            select
                coalesce(answer ->> 'entry_id', answer ->> 'order_id') as id,
                case
                    when route = 'POST /v1/payments' then p.phase = 'captured'
                    else e.entry_id is not null
                end as fits
            from told
            left join payments p on p.order_id = (answer ->> 'order_id')::uuid
            left join ledger_entries e
                on e.entry_id = (answer ->> 'entry_id')::uuid
                and e.customer_id = answer #>> '{account,customer_id}'
        )"
    )
}

/// Compares every account with the sum of its ledger entries, and what it holds with its holds.
pub(in crate::audit) async fn accounts(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.accounts
        with moved as (
            select
                customer_id,
                sum(amount * ((credit in ('available', 'held'))::int - (debit in ('available', 'held'))::int)) as balance,
                sum(amount * ((credit = 'held')::int - (debit = 'held')::int)) as held,
                min(currency) as lowest,
                max(currency) as highest
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
                customer_id as id,
                a.balance is not distinct from coalesce(m.balance, 0)
                and a.held = coalesce(m.held, 0)
                and a.held = coalesce(h.held, 0)
                and coalesce(m.lowest = a.currency and m.highest = a.currency, true) as fits
            from accounts a
            full join moved m using (customer_id)
            full join holding h using (customer_id)
        )"
    )
}

/// Compares every payment from an account with the ledger entries of its order.
pub(in crate::audit) async fn captures(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.captures
        with moved as (
            select
                order_id,
                coalesce(sum(amount) filter (where kind = 'capture'), 0) as captured,
                coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunded,
                min(currency) as lowest,
                max(currency) as highest
            from ledger_entries
            where kind in ('capture', 'refund')
            group by order_id
        ),
        paid as (
            select order_id, tried as captured, refunded, currency
            from payments
            where phase = 'captured' and tried_method = 'wallet'
        ),
        compared as (
            select
                order_id::text as id,
                p.captured is not distinct from m.captured
                and p.refunded is not distinct from m.refunded
                and m.lowest = p.currency
                and m.highest = p.currency as fits
            from paid p
            full join moved m using (order_id)
        )"
    )
}

/// Compares every payment with its refunds: their sum and their last number, the one under way, and
/// the one that answered a cancellation.
pub(in crate::audit) async fn refunds(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.refunds
        with made as (
            select
                order_id,
                max(number) as last,
                count(*) as rows,
                coalesce(sum(amount) filter (where state = 'refunded'), 0) as refunded,
                sum(amount) filter (where state = 'processing') as refunding,
                max(number) filter (where state = 'processing') as under_way,
                count(*) filter (where state = 'refunded' and cause = 'order_cancelled') as answers,
                min(customer_id) as lowest_customer,
                max(customer_id) as highest_customer,
                min(currency) as lowest,
                max(currency) as highest
            from refunds
            group by order_id
        ),
        compared as (
            select
                order_id::text as id,
                p.refunds is not distinct from m.last
                and m.last = m.rows
                and p.refunded is not distinct from m.refunded
                and p.refunding is not distinct from m.refunding
                and coalesce(m.under_way = m.last, true)
                and m.answers = (p.compensation = 'refunded')::int
                and m.lowest_customer = p.customer_id
                and m.highest_customer = p.customer_id
                and m.lowest = p.currency
                and m.highest = p.currency as fits
            from payments p
            full join made m using (order_id)
            where p.refunds > 0 or m.order_id is not null
        )"
    )
}

/// Compares calls to the provider with the payments that wait for them.
pub(in crate::audit) async fn calls(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.calls
        with compared as (
            select
                order_id::text as id,
                coalesce(c.kind, 'none') = case
                    when p.phase = 'charging' then 'charge'
                    when p.refunding is not null then 'refund'
                    else 'none'
                end
                and c.customer_id = p.customer_id
                and c.amount = coalesce(p.refunding, p.tried)
                and c.number = coalesce(nullif(p.refunds, 0), p.tried_revision) as fits
            from payments p
            full join provider_calls c using (order_id)
            where c.order_id is not null or p.phase = 'charging' or p.refunding is not null
        )"
    )
}
