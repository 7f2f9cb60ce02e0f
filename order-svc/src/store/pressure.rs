//! Orders that nobody has answered.

use sqlx::PgConnection;
use uuid::Uuid;

/// An order in a walk over orders, and whether stock has not answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub order_id: Uuid,
    pub waits: bool,
}

/// A piece of the walk over orders from `after` to before `end`, oldest first.
pub async fn unanswered(
    db: &mut PgConnection,
    after: Uuid,
    end: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<Unanswered>> {
    sqlx::query_as!(
        Unanswered,
        r#"-- pressure.unanswered
        select order_id, status in ('pending', 'paid') as "waits!"
        from orders
        where order_id > $1
          and order_id < $2
        order by order_id
        limit $3"#,
        after,
        end,
        limit
    )
    .fetch_all(db)
    .await
}

/// Those of the orders that stock has still not answered.
pub async fn still_unanswered(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- pressure.still_unanswered
        select order_id
        from orders
        where order_id = any($1)
          and status in ('pending', 'paid')",
        ids
    )
    .fetch_all(db)
    .await
}
