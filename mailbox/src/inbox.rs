//! The inbox: the ids of messages and commands that have taken effect. All SQL on it.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

const WEEK: i64 = 604_800;
/// Weeks back from which an id may still be delivered: Kafka keeps 7 days, the outbox 7, and one
/// day more. These 15 days reach back three calendar weeks at most.
pub(crate) const WEEKS_BEHIND: i32 = 3;
/// Weeks for which ids are kept, so that an id is kept for at least 30 days.
pub(crate) const WEEKS_KEPT: i32 = 5;

/// Admits ids of which none is expected to be known: cheap, and an error if one is known. Returns
/// whether any key is parked or has unknown events. Only here may that be asked in the same
/// statement, whose snapshot is older than its inserts: if another transaction parks a key
/// meanwhile, this insert collides with the ids which that transaction admitted, and the attempt
/// fails.
pub(crate) async fn admit(db: &mut PgConnection, sorted: &[Uuid]) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- inbox.admit
        with admitted as (
            insert into inbox (event_id)
            select id
            from unnest($1::uuid[]) as id
        )
        select exists (select from parked_keys) or exists (select from unknown_events) as "aside!""#,
        sorted
    )
    .fetch_one(db)
    .await
}

/// Admits the ids that are new, and returns them.
pub(crate) async fn admit_new(
    db: &mut PgConnection,
    sorted: &[Uuid],
) -> sqlx::Result<HashSet<Uuid>> {
    let new = sqlx::query_scalar!(
        "-- inbox.admit_new
        insert into inbox (event_id)
        select id
        from unnest($1::uuid[]) as id
        on conflict do nothing
        returning event_id",
        sorted
    )
    .fetch_all(db)
    .await?;
    Ok(new.into_iter().collect())
}

/// Removes ids that this transaction admitted: their items turned out to wait for a held row.
pub(crate) async fn forget(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- inbox.forget
        delete from inbox
        where event_id = any($1::uuid[])",
        ids
    )
    .execute(db)
    .await
    .map(drop)
}

/// When a UUIDv7 was made, to the millisecond; `None` for any other id.
pub fn made_at(id: Uuid) -> Option<OffsetDateTime> {
    let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

/// Whether the inbox has a partition for `id`: weeks that are dropped or not made yet have none.
pub(crate) fn in_range(id: Uuid, now: OffsetDateTime) -> bool {
    let week_of = |at: OffsetDateTime| at.unix_timestamp().div_euclid(WEEK);
    let (Some(made), today) = (made_at(id).map(week_of), week_of(now)) else { return false };
    made >= today - i64::from(WEEKS_BEHIND) && made <= today + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(seconds: i64) -> Uuid {
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds.cast_unsigned(), 0))
    }

    #[test]
    fn the_range_is_three_weeks_back_and_one_ahead() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let today = 1_800_000_000_i64;
        assert!(in_range(id_of(today), now));
        assert!(in_range(id_of(today - 3 * WEEK), now));
        assert!(!in_range(id_of(today - 4 * WEEK - 1), now));
        assert!(!in_range(id_of(today + 3 * WEEK), now));
    }

    #[test]
    fn an_id_that_carries_no_time_is_out_of_range() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        assert!(!in_range(Uuid::new_v4(), now));
        assert!(!in_range(Uuid::nil(), now));
    }
}
