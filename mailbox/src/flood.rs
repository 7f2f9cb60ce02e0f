//! A flood: so many keys stop that it is not the messages that are wrong, and hearing more would
//! only park the world.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{parked, reactor::Reactor, session::within, settle::Settler};

/// Keys that may stop within a minute.
const KEYS_A_MINUTE: i64 = 1_000;
/// How often it is looked whether that is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits as long as more keys have stopped within a minute than messages can be wrong.
pub(crate) async fn sit_out<R: Reactor>(settler: &mut Settler<R>, stop: &CancellationToken) {
    let mut is_told = false;
    loop {
        let lately = match settler.session.connection().await {
            Ok(db) => within(parked::lately(db, KEYS_A_MINUTE + 1)).await,
            Err(error) => Err(error),
        };
        match lately {
            Ok(keys) if keys <= KEYS_A_MINUTE => return,
            Ok(keys) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!(
                        keys,
                        "too many keys stop: it is not the messages; nothing more is heard for now"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not count the keys that stopped");
                settler.session.close().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
