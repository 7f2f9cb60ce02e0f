//! Pace: a busy loop starts a batch every few milliseconds, an idle one at once, unless all that
//! came may linger (`linger`).
//!
//! A batch of one item costs nearly as much as a batch of ten. Without a pace, a few hundred orders
//! a second already keep two cores busy with batches of one, and every batch waits for the others:
//! pausing makes each of them quicker.

mod linger;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::linger::linger;

/// Shortest time from the start of one batch to the start of the next. The four batches that an
/// order passes through add four of these, far below what a person notices; a batch of one takes
/// about half of it.
const EVERY_MIN: Duration = Duration::from_millis(6);
/// Longest such time, however long the last batch took.
const EVERY_MAX: Duration = Duration::from_millis(40);

/// When a loop may start its next batch.
pub(crate) struct Pace {
    started: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Waits until as much time has passed again as the last batch took, within the two limits. The
    /// longer that batch took, the busier everything is, and the more items a wait adds to the
    /// next.
    pub(crate) async fn keep(&self) {
        tokio::time::sleep_until(self.started + every(self.started.elapsed())).await;
    }

    /// Notes that a batch starts now.
    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
    }
}

/// Time from start to start after a batch that took `took`: the loop rests as long as it worked.
fn every(took: Duration) -> Duration {
    (took * 2).clamp(EVERY_MIN, EVERY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_rests_as_long_as_it_worked_within_bounds() {
        for (took, milliseconds) in [(0, 6), (2, 6), (5, 10), (19, 38), (20, 40), (300, 40)] {
            assert_eq!(every(Duration::from_millis(took)), Duration::from_millis(milliseconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_loop_starts_at_once() {
        let mut pace = Pace::new();
        pace.start();
        tokio::time::advance(EVERY_MAX).await;
        let before = Instant::now();
        pace.keep().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
