//! What payment-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{CountedRow, Each, Which, forget, seconds, version};
use crate::audit::{
    check::CountResult,
    content::{self, Amount, Contents},
    facts::{CompensationState, Orders, Payment},
    tag,
};

/// Reads the payments of orders; `each` is called with every order's count of events.
pub(in crate::audit) async fn payments(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.payment = None);
    let mut rows = sqlx::query_as!(
        PaymentRow,
        r#"-- audit.payments
        select
            p.order_id as "order_id!",
            p.customer_id,
            p.currency,
            p.phase = 'captured' as "is_captured!",
            p.tried_revision,
            (p.tried * 10000)::bigint as tried,
            p.tried_method,
            p.decline_code,
            (coalesce(p.refunded, 0) * 10000)::bigint as "refunded!",
            coalesce(r.refunded, 0) as "refunds!",
            coalesce(r.refused, 0) as "refused!",
            r.cause,
            (r.amount * 10000)::bigint as refused_amount,
            r.refused_cause,
            p.compensation as "compensation!",
            c.leased_until as "call_until?",
            exists (
                select
                from holds h
                where h.order_id = p.order_id
                  and h.customer_id = coalesce(p.customer_id, h.customer_id)
                  and h.state = 'held'
            ) as "has_hold!",
            p.version as "version!",
            p.heard_orders as "heard_orders!",
            p.heard_stock as "heard_stock!"
        from payments p
        left join provider_calls c on c.order_id = p.order_id
        left join lateral (
            select
                count(*) filter (where state = 'refunded') as refunded,
                count(*) filter (where state = 'refused') as refused,
                min(cause) filter (where state = 'refunded') as cause,
                min(amount) filter (where state = 'refused') as amount,
                min(cause) filter (where state = 'refused') as refused_cause
            from refunds
            where refunds.order_id = p.order_id
        ) r on p.refunds > 0
        where $1::uuid[] is null or p.order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let order = row.order_id.as_u128();
        each(order, row.version);
        orders.of(order).payment = Some(row.payment()?);
    }
    Ok(())
}

struct PaymentRow {
    order_id: Uuid,
    customer_id: Option<String>,
    currency: Option<String>,
    is_captured: bool,
    tried_revision: Option<i32>,
    tried: Option<i64>,
    tried_method: Option<String>,
    decline_code: Option<String>,
    refunded: i64,
    refunds: i64,
    refused: i64,
    /// What a refund was made for, and what one that was refused was: told if there is one.
    cause: Option<String>,
    refused_amount: Option<i64>,
    refused_cause: Option<String>,
    compensation: String,
    call_until: Option<OffsetDateTime>,
    has_hold: bool,
    version: i64,
    heard_orders: i64,
    heard_stock: i64,
}

impl PaymentRow {
    fn payment(&self) -> anyhow::Result<Payment> {
        let compensation = match self.compensation.as_str() {
            "not_asked" => CompensationState::NotAsked,
            "owed" => CompensationState::Owed,
            "voided" => CompensationState::Voided,
            "refunded" => CompensationState::Refunded,
            other => anyhow::bail!("payment-svc knows a compensation {other}, the audit does not"),
        };
        Ok(Payment {
            customer: self.customer_id.as_ref().map_or(0, content::digest),
            currency: Amount::new(0, self.currency.as_deref().unwrap_or_default()).currency,
            captured: self.tried.filter(|_| self.is_captured),
            refunded: self.refunded,
            refunds: u32::try_from(self.refunds).unwrap_or_default(),
            refused: u32::try_from(self.refused).unwrap_or_default(),
            is_by_card: self.tried_method.as_deref() == Some("card"),
            compensation,
            call_until: seconds(self.call_until),
            has_hold: self.has_hold,
            version: version(self.version),
            heard_orders: version(self.heard_orders),
            heard_stock: version(self.heard_stock),
            foretold: self.foretold(),
        })
    }

    /// What was published about the last attempt to take the money, and about refunds of which
    /// there is one.
    fn foretold(&self) -> Contents {
        let mut foretold = Contents::default();
        let (Some(customer), Some(currency)) = (&self.customer_id, &self.currency) else {
            return foretold;
        };
        if let (Some(revision), Some(tried)) = (self.tried_revision, self.tried) {
            let (revision, tried) = (version(revision.into()), Amount::new(tried, currency));
            let method = self.tried_method.as_deref().unwrap_or_default();
            let paid = |how| content::paid(customer, revision, tried, how);
            match &self.decline_code {
                _ if self.is_captured => foretold[tag::CAPTURED] = paid(method),
                Some(code) => foretold[tag::DECLINED] = paid(code),
                None => {}
            }
            let back = |amount, cause: &Option<String>| {
                let (amount, cause) = (Amount::new(amount, currency), cause.as_deref());
                content::refunded(customer, revision, amount, cause.unwrap_or_default())
            };
            if self.refunds == 1 {
                foretold[tag::REFUNDED] = back(self.refunded, &self.cause);
            }
            if self.refused == 1 {
                let amount = self.refused_amount.unwrap_or_default();
                foretold[tag::REFUND_REFUSED] = back(amount, &self.refused_cause);
            }
        }
        foretold
    }
}

/// Money held for orders of which payment-svc may know nothing, and when it was last held.
pub(in crate::audit) async fn holds(db: &mut PgConnection) -> sqlx::Result<Vec<(u128, u32)>> {
    let rows = sqlx::query!(
        r#"-- audit.holds
        select h.order_id, max(e.at) as held_at
        from holds h
        left join ledger_entries e
            on e.customer_id = h.customer_id and e.order_id = h.order_id and e.kind = 'hold'
        where h.state = 'held'
        group by h.order_id"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.order_id.as_u128(), seconds(row.held_at))).collect())
}

/// Compares what the ledger says is held for each order with the holds: no hold may be overdrawn.
pub(in crate::audit) async fn held(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.held
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
                order_id,
                coalesce(m.held, 0) = case h.state when 'held' then h.amount else 0 end as fits
            from holds h
            full join moved m using (customer_id, order_id)
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

/// Compares the answers to deposits and payments that are still stored under an idempotency key
/// with the ledger and the payments.
pub(in crate::audit) async fn answers(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.answers_of_payments
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
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(id) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await
    .map(CountResult::from)
}

/// Compares every account with the sum of its ledger entries, and what it holds with its holds.
pub(in crate::audit) async fn accounts(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.accounts
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
                customer_id,
                a.balance is not distinct from coalesce(m.balance, 0)
                and a.held = coalesce(m.held, 0)
                and a.held = coalesce(h.held, 0)
                and coalesce(m.lowest = a.currency and m.highest = a.currency, true) as fits
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
    .await
    .map(CountResult::from)
}

/// Compares every payment from an account with the ledger entries of its order.
pub(in crate::audit) async fn captures(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.captures
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
                order_id,
                p.captured is not distinct from m.captured
                and p.refunded is not distinct from m.refunded
                and m.lowest = p.currency
                and m.highest = p.currency as fits
            from paid p
            full join moved m using (order_id)
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

/// Compares every payment with its refunds: their sum and their last number, the one under way, and
/// the one that answered a cancellation.
pub(in crate::audit) async fn refunds(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.refunds
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
                order_id,
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

/// Compares calls to the provider with the payments that wait for them.
pub(in crate::audit) async fn calls(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    sqlx::query_as!(
        CountedRow,
        r#"-- audit.calls
        with compared as (
            select
                order_id,
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
