//! Wake-up: services NOTIFY in their commits, or after them on a connection of their own.
//!
//! A notification only shortens a pause between polls. One that is lost costs that pause and
//! nothing else, because the lane polls anyway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The channel on which services notify.
const CHANNEL: &str = "outbox";

/// Pause between attempts to listen again; meanwhile the lane polls by the clock.
const AGAIN: Duration = Duration::from_secs(1);

/// Silence after which the listener connects anew: a host that vanished sends nothing, just like
/// one whose services have nothing to announce.
const SILENCE: Duration = Duration::from_mins(1);

/// Wake-ups that the listener leaves for its lane.
#[derive(Default)]
pub(crate) struct WakeUps {
    some: Notify,
    is_listening: AtomicBool,
}

impl WakeUps {
    /// Ends when there was a wake-up since the last one that was waited for.
    pub(crate) async fn next(&self) {
        self.some.notified().await;
    }

    /// Whether wake-ups can come at all: whether somebody listens.
    pub(crate) fn can_come(&self) -> bool {
        self.is_listening.load(Ordering::Relaxed)
    }
}

/// Turns notifications into wake-ups until it is asked to stop.
pub(crate) async fn listen(
    url: String,
    wake_ups: Arc<WakeUps>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listening = async {
        loop {
            let pause = match hear(&url, &wake_ups).await {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "cannot listen for wake-ups");
                    AGAIN
                }
            };
            wake_ups.is_listening.store(false, Ordering::Relaxed);
            // The lane may be in a long pause that relied on the listener.
            wake_ups.some.notify_one();
            tokio::time::sleep(pause).await;
        }
    };
    stop.run_until_cancelled(listening).await;
    Ok(())
}

/// Listens until the connection is lost, or nothing has come for [`SILENCE`].
async fn hear(url: &str, wake_ups: &WakeUps) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    wake_ups.is_listening.store(true, Ordering::Relaxed);
    // Wakes the lane for what was announced before the listener was connected.
    wake_ups.some.notify_one();
    while let Ok(heard) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
        if heard?.is_none() {
            return Err(sqlx::Error::WorkerCrashed);
        }
        wake_ups.some.notify_one();
    }
    Ok(())
}
