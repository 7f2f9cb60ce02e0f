//! Reservations that staff made for no order: rows of `reservations` without an order.

use mailbox::{invalid, wrote};
use proto::ReservationId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::reservations::{Pieces, allocations, pieces};
use crate::domain::{ManualPhase, ManualReservation};

/// A reservation to write, with its id.
pub type ManualRow<'a> = (&'a ReservationId, &'a ManualReservation);

struct ReservationRow {
    reservation_id: Uuid,
    reference: Option<String>,
    status: String,
    expires_at: Option<OffsetDateTime>,
    allocations: Pieces,
}

impl TryFrom<ReservationRow> for (ReservationId, ManualReservation) {
    type Error = sqlx::Error;

    fn try_from(row: ReservationRow) -> sqlx::Result<Self> {
        let phase = match (row.status.as_str(), row.expires_at) {
            ("held", Some(until)) => ManualPhase::Held { until },
            ("released", None) => ManualPhase::Released,
            ("expired", Some(since)) => ManualPhase::Expired { since },
            (status, _) => return Err(invalid(format!("no reservation is {status} so"))),
        };
        let allocations = allocations(row.allocations);
        let reservation = ManualReservation { reference: row.reference, phase, allocations };
        Ok((ReservationId::new(row.reservation_id), reservation))
    }
}

/// Reservations as columns.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    references: Vec<Option<&'a str>>,
    statuses: Vec<&'static str>,
    expires_at: Vec<Option<OffsetDateTime>>,
    allocations: Vec<Pieces>,
}

impl<'a> Columns<'a> {
    fn new(rows: &[ManualRow<'a>]) -> Self {
        let mut columns = Self::default();
        for (id, reservation) in rows {
            let (status, expires_at) = match reservation.phase {
                ManualPhase::Held { until } => ("held", Some(until)),
                ManualPhase::Released => ("released", None),
                ManualPhase::Expired { since } => ("expired", Some(since)),
            };
            columns.ids.push(id.uuid());
            columns.references.push(reservation.reference.as_deref());
            columns.statuses.push(status);
            columns.expires_at.push(expires_at);
            columns.allocations.push(pieces(&reservation.allocations));
        }
        columns
    }
}

/// Locks the reservations without an order that exist, in id order.
pub async fn lock(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(ReservationId, ManualReservation)>> {
    let rows = sqlx::query_as!(
        ReservationRow,
        r#"-- manual_reservations.lock
        select reservation_id, reference, status, expires_at,
            allocations as "allocations: Pieces"
        from reservations
        where reservation_id = any($1)
          and order_id is null
        order by reservation_id
        for update"#,
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those reservations without an order that no other session holds, and returns the ones that
/// are held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<ReservationId>> {
    let held = sqlx::query_scalar!(
        "-- manual_reservations.held
        with free as (
            select reservation_id
            from reservations
            where reservation_id = any($1)
              and order_id is null
            order by reservation_id
            for update skip locked
        )
        select reservation_id
        from reservations
        where reservation_id = any($1)
          and order_id is null
          and reservation_id not in (select reservation_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(ReservationId::new).collect())
}

/// One reservation without an order.
pub async fn find(
    db: &mut PgConnection,
    id: ReservationId,
) -> sqlx::Result<Option<ManualReservation>> {
    let row = sqlx::query_as!(
        ReservationRow,
        r#"-- manual_reservations.find
        select reservation_id, reference, status, expires_at,
            allocations as "allocations: Pieces"
        from reservations
        where reservation_id = $1
          and order_id is null"#,
        id.uuid()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| <(ReservationId, _)>::try_from(row).map(|(_, found)| found)).transpose()
}

/// Adds reservations, sorted by id.
pub async fn insert(db: &mut PgConnection, rows: &[ManualRow<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let Columns { ids, references, statuses, expires_at, allocations } = Columns::new(rows);
    let done = sqlx::query!(
        "-- manual_reservations.insert
        insert into reservations
            (reservation_id, reference, status, expires_at, allocations,
             version, heard_orders, revision, answered, expired)
        select u.*, 0, 0, 0, 0, false
        from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[]) as u",
        &ids,
        &references as &[Option<&str>],
        &statuses as &[&str],
        &expires_at as &[Option<OffsetDateTime>],
        &allocations as &[Pieces]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.len())
}

/// Writes reservations, sorted by id.
pub async fn update(db: &mut PgConnection, rows: &[ManualRow<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let Columns { ids, statuses, expires_at, allocations, .. } = Columns::new(rows);
    let done = sqlx::query!(
        "-- manual_reservations.update
        update reservations r
        set status = u.status,
            expires_at = u.expires_at,
            allocations = u.allocations
        from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::jsonb[])
            as u (id, status, expires_at, allocations)
        where r.reservation_id = u.id",
        &ids,
        &statuses as &[&str],
        &expires_at as &[Option<OffsetDateTime>],
        &allocations as &[Pieces]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.len())
}
