//! Wake-up: services NOTIFY after their commits, on a connection of their own.
//!
//! A notification only shortens a pause. One that is lost costs a pause and nothing else, because
//! the lane polls anyway.

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

/// The channel that services notify.
const CHANNEL: &str = "outbox";

/// Between tries to listen again: in the meantime polling alone does it.
const AGAIN: Duration = Duration::from_secs(1);

/// A host that vanished sends nothing, like one with nothing to say: after so long a silence the
/// listener begins anew.
const SILENCE: Duration = Duration::from_mins(1);

/// What a listener leaves for its lane.
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

    /// Whether wake-ups can come at all.
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
                    tracing::debug!("cannot listen for wake-ups: {error}");
                    AGAIN
                }
            };
            wake_ups.is_listening.store(false, Ordering::Relaxed);
            // The lane may sit out a long pause that counted on the listener.
            wake_ups.some.notify_one();
            tokio::time::sleep(pause).await;
        }
    };
    stop.run_until_cancelled(listening).await;
    Ok(())
}

/// Hears until the connection is lost, or nothing has come for long.
async fn hear(url: &str, wake_ups: &WakeUps) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    wake_ups.is_listening.store(true, Ordering::Relaxed);
    // What was said before anybody listened.
    wake_ups.some.notify_one();
    while let Ok(heard) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
        if heard?.is_none() {
            return Err(sqlx::Error::WorkerCrashed);
        }
        wake_ups.some.notify_one();
    }
    Ok(())
}
