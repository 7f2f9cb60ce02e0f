//! A flood: so much is set aside that it is not the messages that are wrong, and hearing more would
//! only set the world aside.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{metrics, parked::bounds, reactor::Reactor, session::within, settle::Settler, unknown};

/// Keys that may stop within a minute.
const KEYS_A_MINUTE: i64 = 1_000;
/// Messages that may wait under one key: more than anybody looks through.
const MESSAGES_A_KEY: i64 = 50_000;
/// Bytes of them.
const BYTES_A_KEY: i64 = 1024 * 1024 * 1024;
/// Events of unknown types that are kept: a day of a busy shop.
const UNKNOWN_EVENTS: i64 = 100_000;
/// Bytes of them.
const UNKNOWN_BYTES: i64 = 1024 * 1024 * 1024;
/// How often it is looked whether that is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits as long as too much is set aside: until people have released or discarded enough of it,
/// or say that it goes on all the same.
pub(crate) async fn sit_out<R: Reactor>(settler: &mut Settler<R>, stop: &CancellationToken) {
    loop {
        let look = match settler.session.connection().await {
            Ok(db) => within(reason(db)).await,
            Err(error) => Err(error),
        };
        match look {
            Ok(why) => {
                metrics::flooded(why.is_some());
                let before = settler.notices.flood();
                settler.notices.set_flood(why.clone());
                match why {
                    None => return,
                    Some(why) if before.is_none() => {
                        tracing::error!(why, "too much is set aside; nothing more is heard");
                    }
                    Some(_) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not count what is set aside");
                settler.session.close().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Why nothing more may be heard, if so.
async fn reason(db: &mut PgConnection) -> sqlx::Result<Option<String>> {
    if let Some(keys) = bounds::flood(db, KEYS_A_MINUTE).await? {
        return Ok(Some(format!(
            "more than {KEYS_A_MINUTE} keys stopped within a minute, {keys} in all: it is not the messages; \
             it goes on when half of them are released or discarded"
        )));
    }
    if let Some(heap) = bounds::heap(db, MESSAGES_A_KEY, BYTES_A_KEY).await? {
        return Ok(Some(format!(
            "{} messages, {} bytes, wait under key {} of {}: it goes on when they are fewer",
            heap.messages, heap.bytes, heap.key, heap.topic
        )));
    }
    let kept = unknown::stock(db).await?;
    let is_full = kept.events >= UNKNOWN_EVENTS || kept.bytes >= UNKNOWN_BYTES;
    Ok(is_full.then(|| {
        format!(
            "{} events of unknown types, {} bytes, are kept: it goes on with a build that knows them",
            kept.events, kept.bytes
        )
    }))
}
