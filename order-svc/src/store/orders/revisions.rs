//! What orders asked for before they were amended.

use proto::OrderId;
use rust_decimal::Decimal;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    columns::{LineRow, lines_row, stored_revision},
    row::stored_lines,
};
use crate::{
    domain::{AmendmentCause, Phase, Revision},
    world::Root,
};

/// Adds to open orders that were amended what they asked for before. Ended ones need it no more.
pub(super) async fn complete(
    db: &mut PgConnection,
    mut roots: Vec<Root>,
) -> sqlx::Result<Vec<Root>> {
    let is_amended =
        |root: &Root| root.order.present.number > 1 && root.order.phase() == Phase::Open;
    let ids: Vec<Uuid> =
        roots.iter().filter(|it| is_amended(it)).map(|it| it.order.id.uuid()).collect();
    if ids.is_empty() {
        return Ok(roots);
    }
    let rows = sqlx::query!(
        r#"-- order_revisions.find_all
        select order_id, revision, total, lines as "lines: Json<Vec<LineRow>>", cause, revised_at
        from order_revisions
        where order_id = any($1)
        order by order_id, revision"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        let order = OrderId::new(row.order_id);
        let Some(root) = roots.iter_mut().find(|root| root.order.id == order) else { continue };
        let wanted = (row.lines, row.total, row.cause.as_deref());
        let currency = root.order.present.total.currency();
        let revision = stored_lines(row.revision, wanted, currency, row.revised_at)?;
        root.order.superseded.push(revision);
    }
    Ok(roots)
}

/// Keeps what amended orders asked for before.
pub async fn add_revisions(
    db: &mut PgConnection,
    rows: &[(OrderId, Revision)],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let lines: Vec<Json<Vec<LineRow>>> = rows.iter().map(|(_, it)| lines_row(it)).collect();
    let done = sqlx::query!(
        "-- order_revisions.add
        insert into order_revisions (order_id, revision, total, lines, cause, revised_at)
        select order_id, revision, total, lines, cause, revised_at
        from unnest($1::uuid[], $2::int[], $3::numeric[], $4::jsonb[], $5::text[], $6::timestamptz[])
            as r (order_id, revision, total, lines, cause, revised_at)",
        &rows.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, it)| stored_revision(it.number)).collect::<Vec<_>>(),
        &rows.iter().map(|(_, it)| it.total.amount()).collect::<Vec<Decimal>>(),
        &lines as &[Json<Vec<LineRow>>],
        &rows.iter().map(|(_, it)| it.cause.map(AmendmentCause::as_str)).collect::<Vec<_>>()
            as &[Option<&str>],
        &rows.iter().map(|(_, it)| it.at).collect::<Vec<OffsetDateTime>>()
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, rows.len())
}
