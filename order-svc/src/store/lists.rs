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
    /// Orders placed at this time or later.
    pub from: OffsetDateTime,
    /// Orders placed before this time.
    pub to: OffsetDateTime,
    /// Orders with an id below this one.
    pub before: Uuid,
    /// Orders with this id or a higher one: no order placed at `from` or later has an id below it.
    pub floor: Uuid,
    /// Ids on the page at most.
    pub limit: i64,
}

/// How many orders one page looks through at most, so that a rare status cannot make it read them
/// all.
const WINDOW: i64 = 20_000;

/// The ids of a page, and where the list goes on after them; `None` at its end.
pub async fn ids(
    db: &mut PgConnection,
    filter: &Filter,
) -> sqlx::Result<(Vec<Uuid>, Option<Uuid>)> {
    let end = match (filter.status, &filter.customer) {
        // Without a status nearly every order looked through is found, so the limit ends the
        // search.
        (None, _) => None,
        (Some(_), None) => window_end(db, filter).await?,
        (Some(_), Some(customer)) => customers_window_end(db, filter, customer).await?,
    };
    let floor = end.unwrap_or(filter.floor);
    let ids = match &filter.customer {
        None => of_all(db, filter, floor).await?,
        Some(customer) => of_customer(db, filter, customer, floor).await?,
    };
    let full = usize::try_from(filter.limit).is_ok_and(|limit| ids.len() >= limit);
    let next = ids.last().copied().filter(|_| full).or(end);
    Ok((ids, next))
}

async fn of_customer(
    db: &mut PgConnection,
    filter: &Filter,
    customer: &str,
    floor: Uuid,
) -> sqlx::Result<Vec<Uuid>> {
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
        customer,
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

/// The oldest id of the window among one customer's orders, when there are more than it holds.
async fn customers_window_end(
    db: &mut PgConnection,
    filter: &Filter,
    customer: &str,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "-- orders.customers_window_end
        select order_id
        from orders
        where customer_id = $1
          and order_id < $2
          and order_id >= $3
        order by order_id desc
        offset $4
        limit 1",
        customer,
        filter.before,
        filter.floor,
        WINDOW
    )
    .fetch_optional(db)
    .await
}

/// The orders with an id below `before`, the newest first.
pub async fn before(db: &mut PgConnection, before: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- orders.before
        select order_id
        from orders
        where order_id < $1
        order by order_id desc
        limit $2",
        before,
        limit
    )
    .fetch_all(db)
    .await
}
