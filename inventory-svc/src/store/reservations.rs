//! Reservations: one row for each order that this service has heard of.

use mailbox::wrote;
use proto::{OrderId, Sku, WarehouseId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::invalid;
use crate::{
    domain::{Allocation, Reservation},
    world::Root,
};

/// An allocation as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    sku: Sku,
    warehouse: WarehouseId,
    quantity: u32,
}

struct ReservationRow {
    reservation_id: Uuid,
    version: i64,
    heard_orders: i64,
    revision: i32,
    status: String,
    expired: bool,
    expires_at: Option<OffsetDateTime>,
    allocations: Json<Vec<Piece>>,
}

impl TryFrom<ReservationRow> for (OrderId, Root) {
    type Error = sqlx::Error;

    fn try_from(row: ReservationRow) -> sqlx::Result<Self> {
        let revision = u32::try_from(row.revision).map_err(invalid)?;
        let pieces = row.allocations.0.into_iter();
        let allocations = pieces
            .map(|Piece { sku, warehouse, quantity }| Allocation { sku, warehouse, quantity })
            .collect();
        let state = match (row.status.as_str(), row.expires_at) {
            ("rejected", None) => Reservation::Rejected { revision },
            ("held", Some(expires_at)) => {
                Reservation::Held { revision, allocations, expires_at, expired: row.expired }
            }
            ("sold", None) => Reservation::Sold { revision, allocations },
            ("released", None) => Reservation::Released { revision, allocations },
            (status, _) => return Err(invalid(format!("no reservation is {status} so"))),
        };
        let root = Root { version: row.version, heard_orders: row.heard_orders, state };
        Ok((OrderId::new(row.reservation_id), root))
    }
}

/// Reservations as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    heard: Vec<i64>,
    revisions: Vec<i32>,
    statuses: Vec<String>,
    expired: Vec<bool>,
    expires_at: Vec<Option<OffsetDateTime>>,
    allocations: Vec<Json<Vec<Piece>>>,
}

impl Columns {
    fn new(roots: &[(&OrderId, &Root)]) -> sqlx::Result<Self> {
        let mut rows = Self::default();
        for (id, root) in roots {
            let (status, revision, allocations) = match &root.state {
                Reservation::Unheard => continue,
                Reservation::Rejected { revision } => ("rejected", revision, [].as_slice()),
                Reservation::Held { revision, allocations, .. } => {
                    ("held", revision, allocations.as_slice())
                }
                Reservation::Sold { revision, allocations } => ("sold", revision, &**allocations),
                Reservation::Released { revision, allocations } => {
                    ("released", revision, &**allocations)
                }
            };
            let (expires_at, expired) = match &root.state {
                Reservation::Held { expires_at, expired, .. } => (Some(*expires_at), *expired),
                _ => (None, false),
            };
            rows.ids.push(id.uuid());
            rows.versions.push(root.version);
            rows.heard.push(root.heard_orders);
            rows.revisions.push(i32::try_from(*revision).map_err(invalid)?);
            rows.statuses.push(status.to_owned());
            rows.expired.push(expired);
            rows.expires_at.push(expires_at);
            rows.allocations.push(pieces(allocations));
        }
        Ok(rows)
    }
}

fn pieces(allocations: &[Allocation]) -> Json<Vec<Piece>> {
    let piece = |from: &Allocation| Piece {
        sku: from.sku.clone(),
        warehouse: from.warehouse.clone(),
        quantity: from.quantity,
    };
    Json(allocations.iter().map(piece).collect())
}

/// Locks the reservations that exist, in id order.
pub async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(OrderId, Root)>> {
    let rows = sqlx::query_as!(
        ReservationRow,
        r#"-- reservations.lock
        select reservation_id, version, heard_orders, revision, status, expired, expires_at,
            allocations as "allocations: Json<Vec<Piece>>"
        from reservations
        where reservation_id = any($1)
        order by reservation_id
        for update"#,
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those reservations that no other session holds, and returns the ones that are held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- reservations.held
        with free as (
            select reservation_id
            from reservations
            where reservation_id = any($1)
            order by reservation_id
            for update skip locked
        )
        select reservation_id
        from reservations
        where reservation_id = any($1)
          and reservation_id not in (select reservation_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// One order's reservation.
pub async fn find(db: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<Root>> {
    let row = sqlx::query_as!(
        ReservationRow,
        r#"-- reservations.find
        select reservation_id, version, heard_orders, revision, status, expired, expires_at,
            allocations as "allocations: Json<Vec<Piece>>"
        from reservations
        where reservation_id = $1"#,
        id.uuid()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| <(OrderId, Root)>::try_from(row).map(|(_, root)| root)).transpose()
}

/// Adds reservations, sorted by id.
pub async fn insert(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots)?;
    let done = sqlx::query!(
        "-- reservations.insert
        insert into reservations
            (reservation_id, version, heard_orders, revision, status, expired, expires_at,
             allocations)
        select *
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::bool[],
            $7::timestamptz[], $8::jsonb[])",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.statuses,
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>],
        &rows.allocations as &[Json<Vec<Piece>>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}

/// Writes reservations, sorted by id. The allocations are not written: they never change after the
/// reservation was made.
pub async fn update(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots)?;
    let done = sqlx::query!(
        "-- reservations.update
        update reservations r
        set version = u.version,
            heard_orders = u.heard,
            revision = u.revision,
            status = u.status,
            expired = u.expired,
            expires_at = u.expires_at
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::bool[],
                $7::timestamptz[])
            as u (id, version, heard, revision, status, expired, expires_at)
        where r.reservation_id = u.id",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.statuses,
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}
