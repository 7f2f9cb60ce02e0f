//! Warehouses: the places where stock lies. They are few and seldom change.

use proto::WarehouseId;
use sqlx::PgConnection;

use super::parse_warehouse;
use crate::domain::Warehouse;

/// All warehouses.
pub async fn all(db: &mut PgConnection) -> sqlx::Result<Vec<(WarehouseId, Warehouse)>> {
    let rows = sqlx::query!(
        "-- warehouses.all
        select warehouse_id, name, priority
        from warehouses
        order by warehouse_id"
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let warehouse = Warehouse { name: row.name, priority: row.priority };
            Ok((parse_warehouse(&row.warehouse_id)?, warehouse))
        })
        .collect()
}

/// Writes a warehouse as it is now, new or changed.
pub async fn put(
    db: &mut PgConnection,
    id: &WarehouseId,
    Warehouse { name, priority }: &Warehouse,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- warehouses.put
        insert into warehouses (warehouse_id, name, priority)
        values ($1, $2, $3)
        on conflict (warehouse_id) do update
        set name = excluded.name,
            priority = excluded.priority",
        id.as_str(),
        name,
        priority
    )
    .execute(db)
    .await
    .map(drop)
}
