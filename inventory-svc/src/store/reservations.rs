//! Reservations of orders: one row for each order that this service has heard of. Those without an
//! order are in `manual_reservations.rs`; the table is the same.

use mailbox::{invalid, wrote};
use proto::{CustomerId, OrderId, ReservationId, Sku, WarehouseId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Allocation, Reservation},
    world::Root,
};

/// An allocation as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Piece {
    sku: Sku,
    warehouse: WarehouseId,
    quantity: u32,
}

/// Allocations as they are stored.
pub(super) type Pieces = Json<Vec<Piece>>;

pub(super) fn allocations(pieces: Pieces) -> Vec<Allocation> {
    let pieces = pieces.0.into_iter();
    pieces
        .map(|Piece { sku, warehouse, quantity }| Allocation { sku, warehouse, quantity })
        .collect()
}

pub(super) fn pieces(allocations: &[Allocation]) -> Pieces {
    let piece = |from: &Allocation| Piece {
        sku: from.sku.clone(),
        warehouse: from.warehouse.clone(),
        quantity: from.quantity,
    };
    Json(allocations.iter().map(piece).collect())
}

struct ReservationRow {
    reservation_id: Uuid,
    order_id: Uuid,
    customer_id: Option<String>,
    version: i64,
    heard_orders: i64,
    revision: i32,
    answered: i32,
    status: String,
    expired: bool,
    expires_at: Option<OffsetDateTime>,
    allocations: Pieces,
    surplus: Option<Pieces>,
}

impl TryFrom<ReservationRow> for (OrderId, Root) {
    type Error = sqlx::Error;

    fn try_from(row: ReservationRow) -> sqlx::Result<Self> {
        let revision = u32::try_from(row.revision).map_err(invalid)?;
        let allocations = allocations(row.allocations);
        let state = match (row.status.as_str(), row.expires_at) {
            ("rejected", None) => Reservation::Rejected { revision },
            ("held", Some(expires_at)) => Reservation::Held {
                revision,
                answered: u32::try_from(row.answered).map_err(invalid)?,
                allocations,
                surplus: row.surplus.map(self::allocations).unwrap_or_default(),
                expires_at,
                expired: row.expired,
            },
            ("sold", None) => Reservation::Sold { revision, allocations },
            ("released", None) => Reservation::Released { revision, allocations },
            ("tombstone", None) => Reservation::Tombstone { revision },
            (status, _) => return Err(invalid(format!("no reservation is {status} so"))),
        };
        let customer = row.customer_id.as_deref().map(CustomerId::parse).transpose();
        let root = Root {
            id: Some(ReservationId::new(row.reservation_id)),
            customer: customer.map_err(invalid)?,
            version: row.version,
            heard_orders: row.heard_orders,
            state,
        };
        Ok((OrderId::new(row.order_id), root))
    }
}

/// What changes of reservations, as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    heard: Vec<i64>,
    revisions: Vec<i32>,
    answered: Vec<i32>,
    statuses: Vec<&'static str>,
    expired: Vec<bool>,
    expires_at: Vec<Option<OffsetDateTime>>,
}

impl Columns {
    fn new(roots: &[(&OrderId, &Root)]) -> sqlx::Result<Self> {
        let mut rows = Self::default();
        for (_, root) in roots {
            let (status, revision, answered) = match &root.state {
                Reservation::Unheard => return Err(invalid("nothing was heard of the order")),
                Reservation::Rejected { revision } => ("rejected", revision, revision),
                Reservation::Held { revision, answered, .. } => ("held", revision, answered),
                Reservation::Sold { revision, .. } => ("sold", revision, revision),
                Reservation::Released { revision, .. } => ("released", revision, revision),
                Reservation::Tombstone { revision } => ("tombstone", revision, revision),
            };
            let (expires_at, expired) = match &root.state {
                Reservation::Held { expires_at, expired, .. } => (Some(*expires_at), *expired),
                _ => (None, false),
            };
            rows.ids.push(root.id.ok_or_else(|| invalid("a reservation has no id"))?.uuid());
            rows.versions.push(root.version);
            rows.heard.push(root.heard_orders);
            rows.revisions.push(i32::try_from(*revision).map_err(invalid)?);
            rows.answered.push(i32::try_from(*answered).map_err(invalid)?);
            rows.statuses.push(status);
            rows.expired.push(expired);
            rows.expires_at.push(expires_at);
        }
        Ok(rows)
    }
}

/// The pieces of reservations, as columns.
#[derive(Default)]
struct PieceColumns {
    allocations: Vec<Pieces>,
    surplus: Vec<Option<Pieces>>,
}

impl PieceColumns {
    fn new(roots: &[(&OrderId, &Root)]) -> Self {
        let mut rows = Self::default();
        for (_, root) in roots {
            let (allocations, surplus) = root.pieces();
            rows.allocations.push(pieces(allocations));
            rows.surplus.push(Some(surplus).filter(|it| !it.is_empty()).map(pieces));
        }
        rows
    }
}

/// Locks the reservations of orders that exist, in the order of the orders' ids.
pub async fn lock(db: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<(OrderId, Root)>> {
    let rows = sqlx::query_as!(
        ReservationRow,
        r#"-- reservations.lock
        select reservation_id, order_id as "order_id!", customer_id, version, heard_orders,
            revision, answered, status, expired, expires_at,
            allocations as "allocations: Pieces", surplus as "surplus: Pieces"
        from reservations
        where order_id = any($1)
        order by order_id
        for update"#,
        orders
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those reservations of orders that no other session holds, and returns the orders of those
/// that are held.
pub async fn held(db: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        r#"-- reservations.held
        with free as (
            select order_id
            from reservations
            where order_id = any($1)
            order by order_id
            for update skip locked
        )
        select order_id as "order_id!"
        from reservations
        where order_id = any($1)
          and order_id not in (select order_id from free)"#,
        orders
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// An order's reservation.
pub async fn find(
    db: &mut PgConnection,
    order: OrderId,
    owner: Option<&str>,
) -> sqlx::Result<Option<Root>> {
    let row = sqlx::query_as!(
        ReservationRow,
        r#"-- reservations.find
        select reservation_id, order_id as "order_id!", customer_id, version, heard_orders,
            revision, answered, status, expired, expires_at,
            allocations as "allocations: Pieces", surplus as "surplus: Pieces"
        from reservations
        where order_id = $1
          and ($2::text is null or customer_id = $2)"#,
        order.uuid(),
        owner
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| <(OrderId, Root)>::try_from(row).map(|(_, root)| root)).transpose()
}

/// Those of the reservations that are of orders, each with its order; unlocked, as a reservation
/// never changes its order.
pub async fn orders(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(ReservationId, OrderId)>> {
    let rows = sqlx::query!(
        r#"-- reservations.orders
        select reservation_id, order_id as "order_id!"
        from reservations
        where reservation_id = any($1)
          and order_id is not null"#,
        ids
    )
    .fetch_all(db)
    .await?;
    let named = |row: Uuid, order: Uuid| (ReservationId::new(row), OrderId::new(order));
    Ok(rows.into_iter().map(|row| named(row.reservation_id, row.order_id)).collect())
}

/// Adds reservations, sorted by order.
pub async fn insert(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots)?;
    let PieceColumns { allocations, surplus } = PieceColumns::new(roots);
    let orders: Vec<_> = roots.iter().map(|(order, _)| order.uuid()).collect();
    let customers: Vec<_> =
        roots.iter().map(|(_, it)| it.customer.as_ref().map(CustomerId::as_str)).collect();
    let done = sqlx::query!(
        "-- reservations.insert
        insert into reservations
            (reservation_id, order_id, customer_id, version, heard_orders, revision, answered,
             status, expired, expires_at, allocations, surplus)
        select *
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::int[],
            $7::int[], $8::text[], $9::bool[], $10::timestamptz[], $11::jsonb[], $12::jsonb[])",
        &rows.ids,
        &orders,
        &customers as &[Option<&str>],
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.answered,
        &rows.statuses as &[&str],
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>],
        &allocations as &[Pieces],
        &surplus as &[Option<Pieces>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}

/// Writes reservations whose pieces stay as they were, sorted by order: most of those that change.
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
            answered = u.answered,
            status = u.status,
            expired = u.expired,
            expires_at = u.expires_at
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::text[],
                $7::bool[], $8::timestamptz[])
            as u (id, version, heard, revision, answered, status, expired, expires_at)
        where r.reservation_id = u.id",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.answered,
        &rows.statuses as &[&str],
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}

/// Writes reservations with their pieces, sorted by order: those of amended orders.
pub async fn update_pieces(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots)?;
    let PieceColumns { allocations, surplus } = PieceColumns::new(roots);
    let done = sqlx::query!(
        "-- reservations.update_pieces
        update reservations r
        set version = u.version,
            heard_orders = u.heard,
            revision = u.revision,
            answered = u.answered,
            status = u.status,
            expired = u.expired,
            expires_at = u.expires_at,
            allocations = u.allocations,
            surplus = u.surplus
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::text[],
                $7::bool[], $8::timestamptz[], $9::jsonb[], $10::jsonb[])
            as u (id, version, heard, revision, answered, status, expired, expires_at,
                  allocations, surplus)
        where r.reservation_id = u.id",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.answered,
        &rows.statuses as &[&str],
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>],
        &allocations as &[Pieces],
        &surplus as &[Option<Pieces>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}
