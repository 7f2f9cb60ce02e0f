//! Orders that are not finished: since when, and until their end a card's sealed details.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::invalid;
use prost::Message as _;
use proto::{OrderId, orders::Sealed};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Method, Order, Phase},
    world::World,
};

/// The sealed card details of those orders that have any.
pub(super) async fn details(
    db: &mut PgConnection,
    orders: &BTreeSet<OrderId>,
) -> sqlx::Result<BTreeMap<OrderId, Sealed>> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"-- unfinished_orders.details
        select order_id, details as "details!"
        from unfinished_orders
        where order_id = any($1)
          and details is not null"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    let sealed = |bytes: Vec<u8>| Sealed::decode(bytes.as_slice()).map_err(invalid);
    rows.into_iter().map(|row| Ok((OrderId::new(row.order_id), sealed(row.details)?))).collect()
}

/// Adds orders that are unfinished from now on, removes those that are finished, and deletes the
/// card details of those that have ended.
pub(super) async fn save(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    let (mut new, mut over, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (id, row) in &world.roots {
        let (before, now) = (row.was().map(|root| &root.order), &row.now.order);
        match (before.is_some_and(Order::is_unfinished), now.is_unfinished()) {
            (false, true) => new.push(now),
            (true, false) => over.push(id.uuid()),
            (true, true) => {
                let was_open = before.is_some_and(|order| order.phase() == Phase::Open);
                let is_over = was_open && now.phase() != Phase::Open;
                ended.extend((is_over && now.method == Method::Card).then_some(id.uuid()));
            }
            (false, false) => {}
        }
    }
    add(db, &new, &world.details).await?;
    remove(db, &over).await?;
    forget_details(db, &ended).await
}

async fn add(
    db: &mut PgConnection,
    orders: &[&Order],
    details: &BTreeMap<OrderId, Sealed>,
) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    // A confirmed order that is cancelled needs no details any more.
    let open = |order: &&&Order| order.phase() == Phase::Open;
    let sealed = |order: &&Order| {
        Some(order).filter(open).and_then(|order| details.get(&order.id)).map(Sealed::encode_to_vec)
    };
    let done = sqlx::query!(
        "-- unfinished_orders.add
        insert into unfinished_orders (order_id, since, details)
        select order_id, since, details
        from unnest($1::uuid[], $2::timestamptz[], $3::bytea[]) as u (order_id, since, details)",
        &orders.iter().map(|order| order.id.uuid()).collect::<Vec<_>>(),
        &orders.iter().map(|order| order.updated_at).collect::<Vec<OffsetDateTime>>(),
        &orders.iter().map(sealed).collect::<Vec<_>>() as &[Option<Vec<u8>>]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

async fn remove(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- unfinished_orders.remove
        delete from unfinished_orders
        where order_id = any($1)",
        ids
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, ids.len())
}

async fn forget_details(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- unfinished_orders.forget_details
        update unfinished_orders
        set details = null
        where order_id = any($1)",
        ids
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, ids.len())
}

/// How many orders are unfinished, and since when the oldest of them is.
pub async fn extent(db: &mut PgConnection) -> sqlx::Result<(i64, Option<OffsetDateTime>)> {
    let extent = sqlx::query!(
        r#"-- unfinished_orders.extent
        select count(*) as "count!", min(since) as since
        from unfinished_orders"#
    )
    .fetch_one(db)
    .await?;
    Ok((extent.count, extent.since))
}

/// The unfinished orders with an id above `after`, the oldest first.
pub async fn after(db: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- unfinished_orders.after
        select order_id
        from unfinished_orders
        where order_id > $1
        order by order_id
        limit $2",
        after,
        limit
    )
    .fetch_all(db)
    .await
}
