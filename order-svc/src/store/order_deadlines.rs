//! Orders that wait for their payment, each with its deadline.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// An order that is cancelled if it is not paid by `due_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    pub due_at: OffsetDateTime,
    pub order_id: Uuid,
}

fn columns(deadlines: &[Deadline]) -> (Vec<OffsetDateTime>, Vec<Uuid>) {
    deadlines.iter().map(|deadline| (deadline.due_at, deadline.order_id)).unzip()
}

/// Adds deadlines, sorted.
pub async fn add(db: &mut PgConnection, deadlines: &[Deadline]) -> sqlx::Result<()> {
    if deadlines.is_empty() {
        return Ok(());
    }
    let (times, ids) = columns(deadlines);
    let done = sqlx::query!(
        "-- order_deadlines.add
        insert into order_deadlines (due_at, order_id)
        select due_at, order_id
        from unnest($1::timestamptz[], $2::uuid[]) as d (due_at, order_id)",
        &times,
        &ids
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, deadlines.len())
}

/// Removes deadlines that are over or met, sorted.
pub async fn remove(db: &mut PgConnection, deadlines: &[Deadline]) -> sqlx::Result<()> {
    if deadlines.is_empty() {
        return Ok(());
    }
    let (times, ids) = columns(deadlines);
    let done = sqlx::query!(
        "-- order_deadlines.remove
        delete from order_deadlines o
        using unnest($1::timestamptz[], $2::uuid[]) as d (due_at, order_id)
        where o.due_at = d.due_at
          and o.order_id = d.order_id",
        &times,
        &ids
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, deadlines.len())
}

/// Orders whose time to pay is over, those first that wait longest.
pub async fn due(
    db: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<Deadline>> {
    sqlx::query_as!(
        Deadline,
        "-- order_deadlines.due
        select due_at, order_id
        from order_deadlines
        where due_at <= $1
        order by due_at, order_id
        limit $2",
        now,
        limit
    )
    .fetch_all(db)
    .await
}
