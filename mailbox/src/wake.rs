//! Wakes the relay after commits: one NOTIFY for however many commits, at most one in a
//! millisecond.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    outbox,
    session::{Session, within},
};

/// Pause after a wake-up. The relay polls in any case, so a more frequent one would cost more than
/// it saves.
const AT_MOST_EVERY: Duration = Duration::from_millis(1);
/// Pause after a failure: a lost wake-up costs one poll interval, so there is no hurry.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A signal that something was committed. Cheap to clone, cheap to raise.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    something: Arc<Notify>,
}

impl Wake {
    pub(crate) fn poke(&self) {
        self.something.notify_one();
    }

    /// Turns signals into NOTIFYs until stopped, on a session of its own.
    pub(crate) async fn run(
        self,
        mut session: Session,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.something.notified() => {}
            }
            let woken = match session.connection().await {
                Ok(db) => within(outbox::wake_relay(db)).await,
                Err(error) => Err(error),
            };
            let pause = if woken.is_ok() {
                AT_MOST_EVERY
            } else {
                session.close().await;
                AFTER_FAILURE
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
