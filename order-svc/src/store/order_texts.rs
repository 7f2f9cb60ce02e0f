//! What people wrote about orders, beside the history: it can be erased.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::Tracked;
use proto::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::world::Texts;

/// The texts of those orders that have any.
pub async fn find_all(
    db: &mut PgConnection,
    orders: &BTreeSet<OrderId>,
) -> sqlx::Result<BTreeMap<OrderId, Texts>> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "-- order_texts.find_all
        select order_id, note, cancel_words
        from order_texts
        where order_id = any($1)",
        &ids
    )
    .fetch_all(db)
    .await?;
    let texts = |row: (String, String)| Texts { note: row.0.into(), cancel_words: row.1.into() };
    let of = |id| OrderId::new(id);
    Ok(rows
        .into_iter()
        .map(|row| (of(row.order_id), texts((row.note, row.cancel_words))))
        .collect())
}

/// Writes new and changed texts. A row may be new although its order is not: until somebody writes
/// something, there is none.
pub(super) async fn save(
    db: &mut PgConnection,
    texts: &BTreeMap<OrderId, Tracked<Texts>>,
) -> sqlx::Result<()> {
    let rows: Vec<_> = texts.iter().filter(|(_, row)| row.is_new() || row.is_changed()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- order_texts.save
        insert into order_texts (order_id, note, cancel_words)
        select order_id, note, cancel_words
        from unnest($1::uuid[], $2::text[], $3::text[]) as t (order_id, note, cancel_words)
        on conflict (order_id) do update
        set cancel_words = excluded.cancel_words",
        &rows.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| &*row.now.note).collect::<Vec<_>>() as &[&str],
        &rows.iter().map(|(_, row)| &*row.now.cancel_words).collect::<Vec<_>>() as &[&str]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, rows.len())
}
