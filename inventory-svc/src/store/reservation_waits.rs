//! Reservations whose time will run out: a row for each, removed when the reservation ends.

use mailbox::wrote;
use proto::OrderId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// An order, and when the time of its reservation is over.
pub type Wait = (OrderId, OffsetDateTime);

/// Orders whose reservation's time is over, the oldest first.
pub async fn due(
    db: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<OrderId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar!(
        "-- reservation_waits.due
        select reservation_id
        from reservation_waits
        where expires_at <= $1
        order by expires_at
        limit $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(OrderId::new).collect())
}

/// Removes waits, each by its order and its time.
pub async fn delete(db: &mut PgConnection, waits: &[Wait]) -> sqlx::Result<()> {
    if waits.is_empty() {
        return Ok(());
    }
    let (ids, until) = columns(waits);
    let done = sqlx::query!(
        "-- reservation_waits.delete
        delete from reservation_waits w
        using unnest($1::uuid[], $2::timestamptz[]) as u (id, expires_at)
        where w.expires_at = u.expires_at
          and w.reservation_id = u.id",
        &ids,
        &until
    )
    .execute(db)
    .await?;
    wrote(&done, waits.len())
}

/// Adds waits.
pub async fn insert(db: &mut PgConnection, waits: &[Wait]) -> sqlx::Result<()> {
    if waits.is_empty() {
        return Ok(());
    }
    let (ids, until) = columns(waits);
    let done = sqlx::query!(
        "-- reservation_waits.insert
        insert into reservation_waits (reservation_id, expires_at)
        select *
        from unnest($1::uuid[], $2::timestamptz[])",
        &ids,
        &until
    )
    .execute(db)
    .await?;
    wrote(&done, waits.len())
}

fn columns(waits: &[Wait]) -> (Vec<Uuid>, Vec<OffsetDateTime>) {
    waits.iter().map(|(order, until)| (order.uuid(), *until)).unzip()
}
