//! Pace: a busy loop starts a batch every few milliseconds, an idle one at once.
//!
//! A batch of one costs nearly as much as a batch of ten. Without a pace, a few hundred orders a second already keep
//! two cores busy with batches of one, and everybody waits for everybody: pausing makes each of them quicker.

use std::time::Duration;

use tokio::time::Instant;

/// At least this long from start to start. Four hops of it are far below what a person notices, and a batch of one
/// takes about half of it.
const EVERY_MIN: Duration = Duration::from_millis(6);
/// And at most this long, if the loop rests as long as it works.
const EVERY_MAX: Duration = Duration::from_millis(40);

/// When a loop may start its next batch.
pub(crate) struct Pace {
    started: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Waits if the last batch was started a moment ago: the longer it took, the more there is to do for everybody, and
    /// the more company is worth waiting for.
    pub(crate) async fn keep(&self) {
        let every = (self.started.elapsed() * 2).clamp(EVERY_MIN, EVERY_MAX);
        tokio::time::sleep_until(self.started + every).await;
    }

    /// A batch starts now.
    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
    }
}
