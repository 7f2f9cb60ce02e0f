//! Pace: a busy loop starts a batch every few milliseconds, an idle one at once.
//!
//! A batch of one costs nearly as much as a batch of ten. Without a pace, a few hundred orders a second already keep
//! two cores busy with batches of one, and everybody waits for everybody: pausing makes each of them quicker.

use std::time::Duration;

use tokio::time::Instant;

/// Four hops of it are far below what a person notices, and a batch of one takes about half of it.
const EVERY: Duration = Duration::from_millis(6);

/// What each of a batch adds: where hundreds come, larger batches are worth more than milliseconds.
const EACH: Duration = Duration::from_micros(100);
const CROWD_MAX: u32 = 250;

/// When a loop may start its next batch.
pub(crate) struct Pace {
    next: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { next: Instant::now() }
    }

    /// Waits if the last batch was started a moment ago.
    pub(crate) async fn keep(&self) {
        if self.next > Instant::now() {
            tokio::time::sleep_until(self.next).await;
        }
    }

    /// A batch of so many starts now.
    pub(crate) fn start(&mut self, size: usize) {
        let crowd = u32::try_from(size).unwrap_or(u32::MAX).min(CROWD_MAX);
        self.next = Instant::now() + EVERY + EACH * crowd;
    }
}
