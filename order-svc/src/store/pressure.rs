//! Whether orders still get their answers.
//!
//! Both statements look at the last orders that are old enough to have been answered, the newest
//! first. An order that waits is a stall only if no order placed after it was answered: otherwise
//! only its key is stuck at some service, and the shop goes on. Answers come about in the order of
//! the orders, so a limited number of later orders is looked through.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Whether an order with an id below `before`, amended before `since` or never, waits for stock
/// while none after it has been answered.
pub async fn stock_stalls(
    db: &mut PgConnection,
    before: Uuid,
    since: OffsetDateTime,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- pressure.stock_stalls
        select exists (
            select
            from (
                select order_id, status, revised_at
                from orders
                where order_id < $1
                order by order_id desc
                limit 1000
            ) as old
            where old.status in ('pending', 'paid')
              and old.revised_at < $2
              and not exists (
                  select
                  from (
                      select reserved_at, rejected_at, released_at
                      from orders o
                      where o.order_id > old.order_id
                      order by o.order_id
                      limit 20000
                  ) as later
                  where coalesce(later.reserved_at, later.rejected_at, later.released_at) is not null
              )
        ) as "stalls!""#,
        before,
        since
    )
    .fetch_one(db)
    .await
}

/// Whether an order with an id below `before`, reserved before `since`, waits for its payment while
/// none after it has been answered. A deferred order waits for its customer, so it does not count.
pub async fn payment_stalls(
    db: &mut PgConnection,
    before: Uuid,
    since: OffsetDateTime,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- pressure.payment_stalls
        select exists (
            select
            from (
                select order_id, status, method, reserved_at
                from orders
                where order_id < $1
                order by order_id desc
                limit 1000
            ) as old
            where old.status = 'payment_pending'
              and old.method <> 'deferred'
              and old.reserved_at < $2
              and not exists (
                  select
                  from (
                      select captured_at, declined_at, compensated_at
                      from orders o
                      where o.order_id > old.order_id
                      order by o.order_id
                      limit 20000
                  ) as later
                  where coalesce(later.captured_at, later.declined_at, later.compensated_at) is not null
              )
        ) as "stalls!""#,
        before,
        since
    )
    .fetch_one(db)
    .await
}
