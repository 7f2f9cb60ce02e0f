//! Charges that were declined: a row for each, written once. Whoever asks what became of a charge
//! is told from it, though the payment may have gone on to a later revision.

use std::collections::BTreeMap;

use mailbox::{invalid, wrote};
use proto::{Currency, Money, OrderId};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{CardDisplay, Decline, DeclineCode, Method, PaymentProvider},
    world::DeclinedCharge,
};

/// Adds charges, sorted by order and revision; their payments are written before.
pub async fn insert(
    db: &mut PgConnection,
    charges: &BTreeMap<(OrderId, u32), DeclinedCharge>,
) -> sqlx::Result<()> {
    if charges.is_empty() {
        return Ok(());
    }
    let orders: Vec<Uuid> = charges.keys().map(|(order, _)| order.uuid()).collect();
    let revisions: Vec<i32> = charges.keys().map(|(_, number)| number.cast_signed()).collect();
    let times: Vec<OffsetDateTime> = charges.values().map(|it| it.declined_at).collect();
    let declines: Vec<&Decline> = charges.values().map(|it| &it.decline).collect();
    let amounts: Vec<Decimal> = declines.iter().map(|it| it.amount.amount()).collect();
    let currencies: Vec<&str> = declines.iter().map(|it| it.amount.currency().code()).collect();
    let providers: Vec<Option<&str>> =
        declines.iter().map(|it| it.provider.map(PaymentProvider::as_str)).collect();
    let brands: Vec<Option<&str>> =
        declines.iter().map(|it| it.face.as_ref().map(|face| &*face.brand)).collect();
    let last4s: Vec<Option<&str>> =
        declines.iter().map(|it| it.face.as_ref().map(|face| &*face.last4)).collect();
    let codes: Vec<&str> = declines.iter().map(|it| it.code.as_str()).collect();
    let details: Vec<&str> = declines.iter().map(|it| &*it.detail).collect();
    let done = sqlx::query!(
        "-- declined_charges.insert
        insert into declined_charges (
            order_id, revision, amount, currency, provider, brand, last4, code, detail, declined_at
        )
        select *
        from unnest(
            $1::uuid[], $2::int[], $3::numeric[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::timestamptz[]
        )",
        &orders,
        &revisions,
        &amounts,
        &currencies as &[&str],
        &providers as &[Option<&str>],
        &brands as &[Option<&str>],
        &last4s as &[Option<&str>],
        &codes as &[&str],
        &details as &[&str],
        &times,
    )
    .execute(db)
    .await?;
    wrote(&done, charges.len())
}

/// The charge of an order for `revision`, if that was declined.
pub async fn find(
    db: &mut PgConnection,
    order: OrderId,
    revision: u32,
) -> sqlx::Result<Option<DeclinedCharge>> {
    let row = sqlx::query!(
        "-- declined_charges.find
        select amount, currency, provider, brand, last4, code, detail, declined_at
        from declined_charges
        where order_id = $1
          and revision = $2",
        order.uuid(),
        revision.cast_signed(),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let currency = Currency::parse(&row.currency).map_err(invalid)?;
        let provider = PaymentProvider::parse(&row.provider);
        let face = row
            .brand
            .zip(row.last4)
            .map(|(brand, last4)| CardDisplay { brand: brand.into(), last4: last4.into() });
        let decline = Decline {
            revision,
            amount: Money::new(row.amount, currency).map_err(invalid)?,
            method: Method::Card,
            provider: Some(provider.ok_or_else(|| invalid(&row.provider))?),
            face,
            code: DeclineCode::parse(&row.code).ok_or_else(|| invalid(&row.code))?,
            detail: row.detail.into(),
        };
        Ok(DeclinedCharge { decline, declined_at: row.declined_at })
    })
    .transpose()
}
