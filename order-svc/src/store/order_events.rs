//! The history of orders: what was said and heard, never changed.

use proto::OrderId;
use sqlx::PgConnection;

use crate::world::HistoryRow;

/// Adds rows, sorted by order and number.
pub async fn append(db: &mut PgConnection, rows: &[&HistoryRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let payloads: Vec<&[u8]> = rows.iter().map(|row| row.payload.as_slice()).collect();
    let done = sqlx::query!(
        "-- order_events.append
        insert into order_events (order_id, seq, event_id, type, version, at, payload)
        select order_id, seq, event_id, type, version, at, payload
        from unnest($1::uuid[], $2::int[], $3::uuid[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::bytea[])
            as e (order_id, seq, event_id, type, version, at, payload)",
        &rows.iter().map(|row| row.order_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.event_id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.event_type).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.version).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.at).collect::<Vec<_>>(),
        &payloads as &[&[u8]]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, rows.len())
}

/// An order's history after row `after`, at most `limit` rows of it.
pub async fn of_order(
    db: &mut PgConnection,
    id: OrderId,
    after: i32,
    limit: i64,
) -> sqlx::Result<Vec<HistoryRow>> {
    sqlx::query_as!(
        HistoryRow,
        "-- order_events.of_order
        select order_id, seq, event_id, type as event_type, version, at, payload
        from order_events
        where order_id = $1
          and seq > $2
        order by seq
        limit $3",
        id.uuid(),
        after,
        limit
    )
    .fetch_all(db)
    .await
}
