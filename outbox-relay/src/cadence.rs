//! When a lane polls next: after a wake-up, as long as wake-ups announce what polls find, else by
//! the clock.
//!
//! Polling alone finds every event, and needs no wake-ups. But where every event is announced,
//! polling by the clock finds nothing that a wake-up would not, and asks hundreds of times a
//! second. So the clock slows down to a guard while wake-ups prove reliable. If the guard finds an
//! event that no wake-up announced, polling by the clock is back: only for a moment, if the wake-up
//! was merely late.

use std::time::{Duration, Instant};

use crate::config::RelayOptions;

/// After this many empty polls the pause is [`WARM`] and no longer `poll_hot`, [`WARM_FOR`] after
/// the last find it is `poll_idle`.
const HOT_POLLS: u32 = 10;
const WARM: Duration = Duration::from_millis(5);
const WARM_FOR: Duration = Duration::from_secs(2);

/// Finds in a row that wake-ups have to announce before they are relied on again after a failure: a
/// sender that loses some of its notifications does not get there by luck.
const PROOF: u32 = 32;

/// A wake-up that comes so soon after the guard's find was only late, not lost.
const LATE: Duration = Duration::from_millis(100);

/// What led to a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    Clock,
    WakeUp,
    /// The last poll left rows behind, or the lane has just started: then a find proves nothing
    /// about wake-ups.
    More,
}

/// What polls have found of late, and whether wake-ups announced it.
pub(crate) struct Cadence {
    /// Finds in a row that a wake-up announced.
    announced: u32,
    /// Whether a wake-up has come since the last find.
    has_woken: bool,
    /// When the guard found something that no wake-up has announced so far.
    unannounced_at: Option<Instant>,
    empty_polls: u32,
    found_at: Instant,
}

impl Cadence {
    /// A new cadence relies on wake-ups until they fail, so that an outbox that is idle from the
    /// start costs little.
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            announced: PROOF,
            has_woken: false,
            unannounced_at: None,
            empty_polls: 0,
            found_at: at,
        }
    }

    /// Takes note of a poll: what triggered it, and whether it found rows.
    pub(crate) fn polled(&mut self, trigger: Trigger, has_found: bool, at: Instant) {
        if trigger == Trigger::WakeUp {
            self.has_woken = true;
            self.unannounced_at = None;
        } else if self.unannounced_at.is_some_and(|since| at.duration_since(since) > LATE) {
            self.announced = 0;
            self.unannounced_at = None;
        }
        if !has_found {
            self.empty_polls = self.empty_polls.saturating_add(1);
            return;
        }
        match trigger {
            Trigger::WakeUp => self.announced = self.announced.saturating_add(1),
            Trigger::Clock if self.announced >= PROOF => {
                self.unannounced_at.get_or_insert(at);
            }
            // While the clock alone decides, a poll is often ahead of the wake-up, which then
            // counts for the next find.
            Trigger::Clock if self.has_woken => self.announced += 1,
            Trigger::Clock => self.announced = 0,
            Trigger::More => {}
        }
        self.has_woken = false;
        self.empty_polls = 0;
        self.found_at = at;
    }

    fn relies_on_wake_ups(&self) -> bool {
        self.announced >= PROOF && self.unannounced_at.is_none()
    }

    /// The pause from the start of one poll to the next that no wake-up asks for.
    pub(crate) fn next_poll(
        &self,
        at: Instant,
        can_wake: bool,
        options: &RelayOptions,
    ) -> Duration {
        if can_wake && self.relies_on_wake_ups() {
            options.poll_guard.max(options.poll_idle)
        } else if self.empty_polls < HOT_POLLS {
            options.poll_hot
        } else if at.duration_since(self.found_at) < WARM_FOR {
            WARM.clamp(options.poll_hot, options.poll_idle)
        } else {
            options.poll_idle
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Config;

    fn options() -> RelayOptions {
        Config::parse_from(["relay", "--kafka", "k:1", "--databases", "a=postgres://a/a"]).options
    }

    /// A cadence after a find that no wake-up announced.
    fn by_the_clock() -> Cadence {
        let mut cadence = Cadence::new(Instant::now());
        let start = cadence.found_at;
        cadence.polled(Trigger::Clock, true, start);
        cadence.polled(Trigger::Clock, false, start + 2 * LATE);
        cadence
    }

    /// The pause after a number of polls with the same trigger and result.
    fn pause_after(cadence: &mut Cadence, polls: u32, trigger: Trigger, found: bool) -> Duration {
        let now = cadence.found_at;
        for _ in 0..polls {
            cadence.polled(trigger, found, now);
        }
        cadence.next_poll(now, true, &options())
    }

    #[test]
    fn the_clock_is_hot_then_warm_then_idle() {
        let start = Instant::now();
        let mut cadence = Cadence::new(start);
        let options = options();

        assert_eq!(pause_after(&mut cadence, 1, Trigger::Clock, true), options.poll_hot);
        assert_eq!(pause_after(&mut cadence, 9, Trigger::Clock, false), options.poll_hot);
        assert_eq!(pause_after(&mut cadence, 1, Trigger::Clock, false), WARM);
        assert_eq!(cadence.next_poll(start + WARM_FOR, true, &options), options.poll_idle);
    }

    #[test]
    fn where_every_event_is_announced_the_clock_only_guards() {
        let options = options();
        let mut cadence = Cadence::new(Instant::now());
        let pause = pause_after(&mut cadence, 100, Trigger::Clock, false);
        assert_eq!(pause, options.poll_guard, "as long as nothing speaks against it");
        let mut cadence = by_the_clock();

        let pause = pause_after(&mut cadence, PROOF - 1, Trigger::WakeUp, true);
        assert_eq!(pause, options.poll_hot);
        let pause = pause_after(&mut cadence, 1, Trigger::WakeUp, true);
        assert_eq!(pause, options.poll_guard);
        let pause = pause_after(&mut cadence, 100, Trigger::Clock, false);
        assert_eq!(pause, options.poll_guard, "finding nothing proves nothing");
    }

    /// The clock is quicker than the wake-up, which then finds nothing more, and still counts.
    #[test]
    fn wake_ups_prove_themselves_though_the_clock_is_ahead_of_them() {
        let mut cadence = by_the_clock();
        for _ in 0..=PROOF {
            pause_after(&mut cadence, 1, Trigger::Clock, true);
            pause_after(&mut cadence, 1, Trigger::WakeUp, false);
        }

        let pause = pause_after(&mut cadence, 1, Trigger::Clock, false);
        assert_eq!(pause, options().poll_guard);
    }

    #[test]
    fn one_find_that_nothing_announced_brings_the_clock_back() {
        let mut cadence = Cadence::new(Instant::now());
        let options = options();
        pause_after(&mut cadence, PROOF, Trigger::WakeUp, true);

        let pause = pause_after(&mut cadence, 1, Trigger::Clock, true);
        assert_eq!(pause, options.poll_hot);
        let pause = pause_after(&mut cadence, 500, Trigger::Clock, true);
        assert_eq!(pause, options.poll_hot, "without wake-ups it is the clock for ever");
        let pause = pause_after(&mut cadence, PROOF, Trigger::WakeUp, true);
        assert_eq!(pause, options.poll_guard);
    }

    /// A wake-up that came late for the last find does not announce this one.
    #[test]
    fn a_find_of_the_guard_is_not_excused_by_an_earlier_wake_up() {
        let mut cadence = Cadence::new(Instant::now());
        pause_after(&mut cadence, PROOF, Trigger::WakeUp, true);
        pause_after(&mut cadence, 1, Trigger::WakeUp, false);

        let pause = pause_after(&mut cadence, 1, Trigger::Clock, true);
        assert_eq!(pause, options().poll_hot);
    }

    #[test]
    fn a_wake_up_that_is_merely_late_is_forgiven() {
        let mut cadence = Cadence::new(Instant::now());

        let pause = pause_after(&mut cadence, 1, Trigger::Clock, true);
        assert_eq!(pause, options().poll_hot, "until it comes");
        let pause = pause_after(&mut cadence, 1, Trigger::WakeUp, false);
        assert_eq!(pause, options().poll_guard);
    }

    #[test]
    fn half_of_the_wake_ups_lost_is_too_many() {
        let mut now = Instant::now();
        let mut cadence = Cadence::new(now);
        for _ in 0..PROOF {
            for (trigger, found) in
                [(Trigger::Clock, true), (Trigger::Clock, false), (Trigger::WakeUp, true)]
            {
                now += 2 * LATE;
                cadence.polled(trigger, found, now);
                assert_eq!(cadence.next_poll(now, true, &options()), options().poll_hot);
            }
        }
    }

    #[test]
    fn a_dead_listener_brings_the_clock_back_at_once() {
        let start = Instant::now();
        let mut cadence = Cadence::new(start);
        pause_after(&mut cadence, PROOF, Trigger::WakeUp, true);

        assert_eq!(cadence.next_poll(start, false, &options()), options().poll_hot);
    }
}
