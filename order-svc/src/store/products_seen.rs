//! The catalogue as inventory-svc published it: the highest version of each product wins.

use mailbox::invalid;
use proto::{Currency, Money, Sku};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::domain::{Catalogue, Product};

/// Those of the products that are known. Nothing is locked, because inventory-svc decides about
/// stock.
pub async fn find_all(db: &mut PgConnection, skus: &[&str]) -> sqlx::Result<Catalogue> {
    let rows = sqlx::query!(
        "-- products_seen.find_all
        select sku, name, price, currency, available, version
        from products_seen
        where sku = any($1)",
        skus as &[&str]
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let sku = Sku::parse(&row.sku).map_err(invalid)?;
            let currency = Currency::parse(&row.currency).map_err(invalid)?;
            let price = Money::new(row.price, currency).map_err(invalid)?;
            let (available, version) = (row.available, row.version);
            Ok((sku, Product { name: row.name.into(), price, available, version }))
        })
        .collect()
}

/// Takes in changed products, sorted by SKU; a version not above the stored one changes nothing.
pub async fn learn(db: &mut PgConnection, told: &Catalogue) -> sqlx::Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let skus: Vec<&str> = told.keys().map(Sku::as_str).collect();
    let names: Vec<&str> = told.values().map(|product| &*product.name).collect();
    let prices: Vec<Decimal> = told.values().map(|product| product.price.amount()).collect();
    let currencies: Vec<&str> = told.values().map(|p| p.price.currency().code()).collect();
    let available: Vec<i64> = told.values().map(|product| product.available).collect();
    let versions: Vec<i64> = told.values().map(|product| product.version).collect();
    sqlx::query!(
        "-- products_seen.learn
        insert into products_seen as known (sku, name, price, currency, available, version)
        select sku, name, price, currency, available, version
        from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::bigint[])
            as p (sku, name, price, currency, available, version)
        on conflict (sku) do update
        set name = excluded.name, price = excluded.price, currency = excluded.currency,
            available = excluded.available, version = excluded.version
        where known.version < excluded.version",
        &skus as &[&str],
        &names as &[&str],
        &prices,
        &currencies as &[&str],
        &available,
        &versions
    )
    .execute(db)
    .await
    .map(drop)
}
