//! What people wrote about orders, beside the history: it can be erased.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::Tracked;
use proto::{CustomerId, OrderId};
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
    let new: Vec<_> = texts.iter().filter(|(_, row)| row.is_new()).collect();
    if !new.is_empty() {
        let done = sqlx::query!(
            "-- order_texts.insert
            insert into order_texts (order_id, note, cancel_words)
            select order_id, note, cancel_words
            from unnest($1::uuid[], $2::text[], $3::text[]) as t (order_id, note, cancel_words)",
            &new.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
            &new.iter().map(|(_, row)| &*row.now.note).collect::<Vec<_>>() as &[&str],
            &new.iter().map(|(_, row)| &*row.now.cancel_words).collect::<Vec<_>>() as &[&str]
        )
        .execute(&mut *db)
        .await?;
        mailbox::wrote(&done, new.len())?;
    }
    let changed: Vec<_> =
        texts.iter().filter(|(_, row)| row.is_changed() && !row.is_new()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    // A row that was erased meanwhile is not written again: the batch fails, and is decided anew.
    let done = sqlx::query!(
        "-- order_texts.update
        update order_texts t
        set cancel_words = n.cancel_words
        from unnest($1::uuid[], $2::text[]) as n (order_id, cancel_words)
        where t.order_id = n.order_id",
        &changed.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
        &changed.iter().map(|(_, row)| &*row.now.cancel_words).collect::<Vec<_>>() as &[&str]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, changed.len())
}

/// Erases all that was written about a customer's orders; returns about how many orders something
/// was written.
pub async fn erase(db: &mut PgConnection, customer: &CustomerId) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- order_texts.erase
        delete from order_texts
        where order_id in (select order_id from orders where customer_id = $1)",
        customer.as_str()
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
