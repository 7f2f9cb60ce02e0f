//! Replays: kept events that are queued for a webhook once more, a piece at a time.

use proto::WebhookId;
use sqlx::PgConnection;

use crate::world::webhooks::WebhookWorld;

/// Events that are looked at for one piece.
const PIECE: i64 = 500;
/// Deliveries that may wait before the next piece is queued: a replay of a week must not fill the
/// table.
const WAITING_MAX: i64 = 1_000;

/// Notes the replays that a batch was asked for.
pub async fn insert(db: &mut PgConnection, world: &WebhookWorld) -> sqlx::Result<()> {
    for replay in &world.replays {
        sqlx::query!(
            "-- webhook_replays.insert
            insert into webhook_replays (webhook_id, after_id, before_id)
            values ($1, $2, $3)",
            replay.webhook.uuid(),
            replay.after,
            replay.before
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Queues the next piece of a webhook's oldest replay, if there is one and few deliveries wait. The
/// last piece ends the replay. Returns whether there is a next one.
pub async fn advance(db: &mut PgConnection, webhook: WebhookId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- webhook_replays.advance
        with mine as (
            select replay_id, after_id, before_id
            from webhook_replays
            where webhook_id = $1
              and $3 > (
                  select count(*)
                  from (
                      select
                      from webhook_deliveries
                      where webhook_id = $1
                        and status = 'pending'
                        and due_at <= clock_timestamp()
                      limit $3
                  ) as waiting
              )
            order by replay_id
            limit 1
            for update skip locked
        ), piece as (
            select mine.replay_id, e.event_id, e.event_type, e.key
            from mine
            cross join lateral (
                select event_id, event_type, key
                from webhook_events
                where event_id > mine.after_id
                  and event_id < mine.before_id
                order by event_id
                limit $2
            ) as e
        ), queued as (
            insert into webhook_deliveries (webhook_id, event_id, event_type, key)
            select w.webhook_id, p.event_id, p.event_type, p.key
            from piece p
            join webhooks w on w.webhook_id = $1
            where w.events is null or p.event_type = any(w.events)
            order by p.event_id
        ), moved as (
            update webhook_replays r
            set after_id = (select event_id from piece order by event_id desc limit 1)
            from mine
            where r.replay_id = mine.replay_id
              and (select count(*) from piece) = $2
            returning r.replay_id
        ), ended as (
            delete from webhook_replays r
            using mine
            where r.replay_id = mine.replay_id
              and (select count(*) from piece) < $2
        )
        select exists (select from moved) as "has_more!""#,
        webhook.uuid(),
        PIECE,
        WAITING_MAX
    )
    .fetch_one(db)
    .await
}
