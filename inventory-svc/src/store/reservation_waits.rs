//! Reservations whose time will run out: a row for each, removed when the reservation ends.

use mailbox::wrote;
use proto::{OrderId, ReservationId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::world::Wait;

/// Reservations whose time is over, the oldest first.
pub async fn due(
    db: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<Wait>> {
    let rows = sqlx::query!(
        "-- reservation_waits.due
        select expires_at, reservation_id, order_id
        from reservation_waits
        where expires_at <= $1
        order by expires_at
        limit $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    let wait = |until, reservation, order: Option<Uuid>| Wait {
        until,
        reservation: ReservationId::new(reservation),
        order: order.map(OrderId::new),
    };
    let waits = rows.into_iter().map(|row| wait(row.expires_at, row.reservation_id, row.order_id));
    Ok(waits.collect())
}

/// Removes waits, each by its reservation and its time.
pub async fn delete(db: &mut PgConnection, waits: &[Wait]) -> sqlx::Result<()> {
    if waits.is_empty() {
        return Ok(());
    }
    let Columns { until, ids, .. } = Columns::new(waits);
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
    let Columns { until, ids, orders } = Columns::new(waits);
    let done = sqlx::query!(
        "-- reservation_waits.insert
        insert into reservation_waits (expires_at, reservation_id, order_id)
        select *
        from unnest($1::timestamptz[], $2::uuid[], $3::uuid[])",
        &until,
        &ids,
        &orders as &[Option<Uuid>]
    )
    .execute(db)
    .await?;
    wrote(&done, waits.len())
}

/// Waits as columns.
#[derive(Default)]
struct Columns {
    until: Vec<OffsetDateTime>,
    ids: Vec<Uuid>,
    orders: Vec<Option<Uuid>>,
}

impl Columns {
    fn new(waits: &[Wait]) -> Self {
        let mut columns = Self::default();
        for Wait { until, reservation, order } in waits {
            columns.until.push(*until);
            columns.ids.push(reservation.uuid());
            columns.orders.push(order.map(OrderId::uuid));
        }
        columns
    }
}
