//! Pieces received or written off, each with its reason.

use sqlx::PgConnection;

use crate::world::Adjustment;

/// Adds an adjustment.
pub async fn insert(
    db: &mut PgConnection,
    Adjustment { id, sku, warehouse, delta, reason, at }: &Adjustment,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- stock_adjustments.insert
        insert into stock_adjustments (adjustment_id, sku, warehouse_id, delta, reason, at)
        values ($1, $2, $3, $4, $5, $6)",
        id,
        sku.as_str(),
        warehouse.as_str(),
        delta,
        reason,
        at
    )
    .execute(db)
    .await
    .map(drop)
}
