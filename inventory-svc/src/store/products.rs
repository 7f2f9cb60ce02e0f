//! Products: what is sold, and what was last announced of each.

use mailbox::{invalid, wrote};
use proto::{Currency, Money, Sku};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::parse_sku;
use crate::domain::Product;

struct ProductRow {
    sku: String,
    name: String,
    price: Decimal,
    currency: String,
    version: i64,
    said_available: i64,
}

impl TryFrom<ProductRow> for Product {
    type Error = sqlx::Error;

    fn try_from(row: ProductRow) -> sqlx::Result<Self> {
        let ProductRow { sku, name, price, currency, version, said_available } = row;
        let currency = Currency::parse(&currency).map_err(invalid)?;
        let price = Money::new(price, currency).map_err(invalid)?;
        Ok(Self { sku: parse_sku(&sku)?, name, price, version, said_available })
    }
}

/// Locks the products that exist, in SKU order: otherwise two batches that want the same products
/// in different orders would wait for each other.
pub async fn lock(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<Product>> {
    let rows = sqlx::query_as!(
        ProductRow,
        "-- products.lock
        select sku, name, price, currency, version, said_available
        from products
        where sku = any($1)
        order by sku
        for update",
        skus
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those products that no other session holds, and returns the ones that are held.
pub async fn held(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<Sku>> {
    let held = sqlx::query_scalar!(
        "-- products.held
        with free as (
            select sku
            from products
            where sku = any($1)
            order by sku
            for update skip locked
        )
        select sku
        from products
        where sku = any($1)
          and sku not in (select sku from free)",
        skus
    )
    .fetch_all(db)
    .await?;
    held.iter().map(|sku| parse_sku(sku)).collect()
}

/// A product, and how many pieces of it are available.
pub type ListedProduct = (Product, i64);

/// One product.
pub async fn find(db: &mut PgConnection, sku: &Sku) -> sqlx::Result<Option<ListedProduct>> {
    let row = sqlx::query!(
        r#"-- products.find
        select p.sku, p.name, p.price, p.currency, p.version, p.said_available,
            (
                select coalesce(sum(s.on_hand - s.reserved), 0)::bigint
                from stock s
                where s.sku = p.sku
            ) as "available!"
        from products p
        where p.sku = $1"#,
        sku.as_str()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let product = ProductRow {
            sku: row.sku,
            name: row.name,
            price: row.price,
            currency: row.currency,
            version: row.version,
            said_available: row.said_available,
        };
        Ok((product.try_into()?, row.available))
    })
    .transpose()
}

/// Those of the products that exist, by SKU.
pub async fn find_all(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<ListedProduct>> {
    let rows = sqlx::query!(
        r#"-- products.find_all
        select p.sku, p.name, p.price, p.currency, p.version, p.said_available,
            (
                select coalesce(sum(s.on_hand - s.reserved), 0)::bigint
                from stock s
                where s.sku = p.sku
            ) as "available!"
        from products p
        where p.sku = any($1)
        order by p.sku"#,
        skus
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let product = ProductRow {
                sku: row.sku,
                name: row.name,
                price: row.price,
                currency: row.currency,
                version: row.version,
                said_available: row.said_available,
            };
            Ok((product.try_into()?, row.available))
        })
        .collect()
}

/// A product's SKU and name, for the search.
pub struct ProductName {
    pub sku: String,
    pub name: String,
}

/// The names of products by SKU, after `after`.
pub async fn names(
    db: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<ProductName>> {
    sqlx::query_as!(
        ProductName,
        "-- products.names
        select sku, name
        from products
        where sku > coalesce($1, '')
        order by sku
        limit $2",
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// Products as columns.
#[derive(Default)]
struct Columns<'a> {
    skus: Vec<&'a str>,
    names: Vec<&'a str>,
    prices: Vec<Decimal>,
    currencies: Vec<&'a str>,
    versions: Vec<i64>,
    said: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn new(products: &[(&Sku, &'a Product)]) -> Self {
        let mut columns = Self::default();
        for (_, product) in products {
            columns.skus.push(product.sku.as_str());
            columns.names.push(&product.name);
            columns.prices.push(product.price.amount());
            columns.currencies.push(product.price.currency().code());
            columns.versions.push(product.version);
            columns.said.push(product.said_available);
        }
        columns
    }
}

/// Adds products, sorted by SKU.
pub async fn insert(db: &mut PgConnection, products: &[(&Sku, &Product)]) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let Columns { skus, names, prices, currencies, versions, said } = Columns::new(products);
    let done = sqlx::query!(
        "-- products.insert
        insert into products (sku, name, price, currency, version, said_available)
        select *
        from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::bigint[])",
        &skus as &[&str],
        &names as &[&str],
        &prices,
        &currencies as &[&str],
        &versions,
        &said
    )
    .execute(db)
    .await?;
    wrote(&done, products.len())
}

/// Writes products, sorted by SKU.
pub async fn update(db: &mut PgConnection, products: &[(&Sku, &Product)]) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let Columns { skus, names, prices, currencies, versions, said } = Columns::new(products);
    let done = sqlx::query!(
        "-- products.update
        update products p
        set name = u.name,
            price = u.price,
            currency = u.currency,
            version = u.version,
            said_available = u.said
        from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::bigint[])
            as u (sku, name, price, currency, version, said)
        where p.sku = u.sku",
        &skus as &[&str],
        &names as &[&str],
        &prices,
        &currencies as &[&str],
        &versions,
        &said
    )
    .execute(db)
    .await?;
    wrote(&done, products.len())
}
