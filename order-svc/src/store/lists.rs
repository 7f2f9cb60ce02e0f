//! Lists of orders, newest first: only ids are looked for, the orders themselves are then read by
//! their keys.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Which orders a list shows.
#[derive(Clone, Debug)]
pub struct Filter {
    pub customer: Option<String>,
    pub status: Option<&'static str>,
    /// Inclusive.
    pub from: OffsetDateTime,
    /// Exclusive.
    pub to: OffsetDateTime,
    /// Ids below this one.
    pub before: Uuid,
    /// Ids of this one and above: no id older than `from` is below it.
    pub floor: Uuid,
    pub limit: i64,
}

/// How many orders one page looks through at most, so that a rare status cannot make it read them
/// all.
const WINDOW: i64 = 20_000;

/// A page's ids, and where the next page begins.
pub async fn ids(
    db: &mut PgConnection,
    filter: &Filter,
) -> sqlx::Result<(Vec<Uuid>, Option<Uuid>)> {
    if filter.customer.is_some() {
        let ids = of_customer(db, filter).await?;
        let next = next(&ids, filter.limit);
        return Ok((ids, next));
    }
    let end = window_end(db, filter).await?;
    let ids = of_all(db, filter, end.unwrap_or(filter.floor)).await?;
    let next = next(&ids, filter.limit).or(end);
    Ok((ids, next))
}

fn next(ids: &[Uuid], limit: i64) -> Option<Uuid> {
    let full = usize::try_from(limit).is_ok_and(|limit| ids.len() >= limit);
    ids.last().copied().filter(|_| full)
}

async fn of_customer(db: &mut PgConnection, filter: &Filter) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- orders.of_customer
        select order_id
        from orders
        where customer_id = $1
          and order_id < $2
          and order_id >= $3
          and placed_at >= $4
          and placed_at < $5
          and ($6::text is null or status = $6)
        order by order_id desc
        limit $7",
        filter.customer,
        filter.before,
        filter.floor,
        filter.from,
        filter.to,
        filter.status,
        filter.limit
    )
    .fetch_all(db)
    .await
}

async fn of_all(db: &mut PgConnection, filter: &Filter, floor: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- orders.of_all
        select order_id
        from orders
        where order_id < $1
          and order_id >= $2
          and placed_at >= $3
          and placed_at < $4
          and ($5::text is null or status = $5)
        order by order_id desc
        limit $6",
        filter.before,
        floor,
        filter.from,
        filter.to,
        filter.status,
        filter.limit
    )
    .fetch_all(db)
    .await
}

/// The oldest id of the page's window, when there are more orders than it holds.
async fn window_end(db: &mut PgConnection, filter: &Filter) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "-- orders.window_end
        select order_id
        from orders
        where order_id < $1
          and order_id >= $2
        order by order_id desc
        offset $3
        limit 1",
        filter.before,
        filter.floor,
        WINDOW
    )
    .fetch_optional(db)
    .await
}
