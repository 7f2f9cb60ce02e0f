//! Stops consuming while too much is set aside (a flood): then a dependency or a build is at fault
//! and not the messages, and going on would only park everything.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{metrics, parked::bounds, reactor::Reactor, session::within, settle::Settler, unknown};

/// Keys that may stop within a minute.
const KEYS_A_MINUTE: i64 = 1_000;
/// Messages that may wait under one key: more than anybody looks through.
const MESSAGES_A_KEY: i64 = 50_000;
/// Bytes of the messages that may wait under one key.
const BYTES_A_KEY: i64 = 1024 * 1024 * 1024;
/// Events of unknown types that may be kept: a day of a busy shop.
const UNKNOWN_EVENTS: i64 = 100_000;
/// Bytes of events of unknown types that may be kept.
const UNKNOWN_BYTES: i64 = 1024 * 1024 * 1024;
/// How often it is checked whether the flood is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits while too much is set aside: until operators have released or discarded enough of it, or
/// let consuming go on all the same (`Mailbox::lift_flood`).
pub(crate) async fn sit_out<R: Reactor>(settler: &mut Settler<R>, stop: &CancellationToken) {
    let mut is_well = true;
    loop {
        let look = match settler.session.connection().await {
            Ok(db) => within(reason(db)).await,
            Err(error) => Err(error),
        };
        match look {
            Ok(why) => {
                is_well = true;
                metrics::flooded(why.is_some());
                let before = settler.notices.flood();
                settler.notices.set_flood(why.clone());
                match why {
                    None => return,
                    Some(why) if before.is_none() => {
                        tracing::error!(
                            reason = why,
                            "too much is set aside; nothing more is heard"
                        );
                    }
                    Some(_) => {}
                }
            }
            Err(error) => {
                // What is set aside is counted each second: one line for all failures in a row.
                if std::mem::replace(&mut is_well, false) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "could not count what is set aside");
                }
                settler.session.close().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Why consuming must stop; `None` if it need not.
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
