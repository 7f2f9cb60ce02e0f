//! What payment-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Which, forget, seconds, version};
use crate::audit::{
    content::{self, Amount, Contents},
    facts::{CompensationState, Orders, Payment},
    tag,
};

/// Reads the payments of orders.
pub(in crate::audit) async fn payments(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
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
        orders.of(row.order_id.as_u128()).payment = Some(row.payment()?);
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
                content::paid(customer, revision, amount, cause.unwrap_or_default())
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
