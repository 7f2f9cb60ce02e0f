//! Wakes the relay when events were committed. Where commits are swift, the commit itself does, with
//! a NOTIFY in its transaction. Such a commit holds a lock of the whole server from before its log is
//! flushed until after it, so slow ones would wait for one another: after a slow one, a NOTIFY on a
//! session of its own speaks for however many commits, at most once in a millisecond.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    fault::WakeUp,
    outbox,
    session::{Session, within},
};

/// Pause after a wake-up. The relay polls in any case, so a more frequent one would cost more than
/// it saves.
const AT_MOST_EVERY: Duration = Duration::from_millis(1);
/// Pause after a failure: a lost wake-up costs one poll interval, so there is no hurry.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A flush takes a fraction of this on a good disk: a commit that takes as long has waited for a slow
/// one, or for others.
const SWIFT: Duration = Duration::from_millis(2);

/// A signal that something was committed. Cheap to clone, cheap to raise.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    something: Arc<Notify>,
    /// How long this process's last commit of events took.
    last: Arc<Mutex<Duration>>,
    /// Whether a commit with a NOTIFY failed, and no NOTIFY of its own has succeeded since: the
    /// queue of notifications may be full.
    is_refused: Arc<AtomicBool>,
}

impl Wake {
    /// How the next attempt had best tell the relay.
    pub(crate) fn best_way(&self) -> WakeUp {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let may_ride = last < SWIFT && !self.is_refused.load(Ordering::Relaxed);
        if may_ride { WakeUp::InCommit } else { WakeUp::AfterCommit }
    }

    /// Notes that an attempt failed: in its commit, or before.
    pub(crate) fn failed(&self, way: WakeUp, in_commit: bool) {
        if way == WakeUp::InCommit && in_commit {
            self.is_refused.store(true, Ordering::Relaxed);
        }
    }

    /// Notes how long a commit of events took, and signals it if it has not woken the relay itself.
    pub(crate) fn committed(&self, way: WakeUp, took: Duration) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = took;
        if way == WakeUp::AfterCommit {
            self.poke();
        }
    }

    /// Signals that events were committed.
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
                self.is_refused.store(false, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_wakes_the_relay_itself_after_a_swift_one() {
        let wake = Wake::default();
        assert_eq!(wake.best_way(), WakeUp::InCommit, "nothing was committed yet");
        for way in [WakeUp::InCommit, WakeUp::AfterCommit] {
            wake.committed(way, SWIFT);
            assert_eq!(wake.best_way(), WakeUp::AfterCommit, "it would hold up others");
            wake.committed(way, SWIFT / 2);
            assert_eq!(wake.best_way(), WakeUp::InCommit);
        }
    }

    #[test]
    fn after_a_commit_with_a_wake_up_failed_the_next_goes_without() {
        let wake = Wake::default();
        wake.failed(WakeUp::InCommit, false);
        wake.failed(WakeUp::AfterCommit, true);
        assert_eq!(wake.best_way(), WakeUp::InCommit, "no NOTIFY was refused");
        wake.failed(WakeUp::InCommit, true);
        assert_eq!(wake.best_way(), WakeUp::AfterCommit);
        wake.committed(WakeUp::AfterCommit, SWIFT / 2);
        assert_eq!(wake.best_way(), WakeUp::AfterCommit, "no NOTIFY was taken since");
    }

    #[tokio::test]
    async fn only_a_commit_that_did_not_wake_the_relay_raises_the_signal() {
        let is_raised = async |wake: &Wake| {
            tokio::select! {
                biased;
                () = wake.something.notified() => true,
                () = std::future::ready(()) => false,
            }
        };
        let wake = Wake::default();
        wake.committed(WakeUp::InCommit, SWIFT);
        assert!(!is_raised(&wake).await);
        wake.committed(WakeUp::AfterCommit, SWIFT);
        assert!(is_raised(&wake).await);
    }
}
