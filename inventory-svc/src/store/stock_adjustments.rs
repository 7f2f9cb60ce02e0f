//! The journal of pieces received or written off, each with its reason.

use proto::Sku;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{parse_sku, parse_warehouse};
use crate::world::Adjustment;

/// A product's adjustments as they were booked, after `after`.
pub async fn of(
    db: &mut PgConnection,
    sku: &Sku,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Adjustment>> {
    let rows = sqlx::query!(
        "-- stock_adjustments.of
        select adjustment_id, sku, warehouse_id, delta, reason, caller, at
        from stock_adjustments
        where sku = $1
          and adjustment_id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid)
        order by adjustment_id
        limit $3",
        sku.as_str(),
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Adjustment {
                id: row.adjustment_id,
                sku: parse_sku(&row.sku)?,
                warehouse: parse_warehouse(&row.warehouse_id)?,
                delta: row.delta,
                reason: row.reason,
                caller: row.caller,
                at: row.at,
            })
        })
        .collect()
}

/// Adds an adjustment.
pub async fn insert(
    db: &mut PgConnection,
    Adjustment { id, sku, warehouse, delta, reason, caller, at }: &Adjustment,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- stock_adjustments.insert
        insert into stock_adjustments
            (sku, adjustment_id, warehouse_id, delta, reason, caller, at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        sku.as_str(),
        id,
        warehouse.as_str(),
        delta,
        reason,
        caller,
        at
    )
    .execute(db)
    .await
    .map(drop)
}
