//! One instance's circuit: closed while the instance answers, open after failures in a row.
//!
//! While a circuit is open, requests to its instance are refused at once. After the pause one
//! request tries the instance again, and its outcome decides. Times are passed in, as milliseconds
//! since the process's start.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// How a circuit behaves.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// How many failures in a row open the circuit.
    pub failures: NonZeroU32,
    /// How long the circuit stays open before the next try.
    pub pause: Duration,
}

/// The state of one instance.
// Requests race here, and a lost race costs one try too many, so relaxed order is enough.
#[derive(Debug)]
pub struct Circuit {
    rule: Rule,
    failures: AtomicU32,
    /// When the next try is due; 0 while the circuit is closed.
    try_at: AtomicU64,
}

impl Circuit {
    pub fn new(rule: Rule) -> Self {
        Self { rule, failures: AtomicU32::new(0), try_at: AtomicU64::new(0) }
    }

    pub fn is_closed(&self) -> bool {
        self.try_at.load(Ordering::Relaxed) == 0
    }

    /// Whether a request may go through. Of the requests that ask after the pause, one may.
    pub fn admits(&self, now: u64) -> bool {
        let due = self.try_at.load(Ordering::Relaxed);
        if due == 0 {
            return true;
        }
        // The request that wins the exchange is the try. If it never ends, the next is due a pause
        // later.
        now >= due
            && self
                .try_at
                .compare_exchange(due, self.next(now), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// How long until the next try.
    pub fn wait(&self, now: u64) -> Duration {
        Duration::from_millis(self.try_at.load(Ordering::Relaxed).saturating_sub(now))
    }

    /// Closes the circuit: the instance has answered.
    pub fn answered(&self) {
        // Read first: a cache line that nobody writes stays in every core's cache.
        if self.failures.load(Ordering::Relaxed) != 0 || !self.is_closed() {
            self.failures.store(0, Ordering::Relaxed);
            self.try_at.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure: the instance could not be reached or did not answer. Returns whether this
    /// opened the circuit.
    pub fn failed(&self, now: u64) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < self.rule.failures.get() {
            return false;
        }
        self.try_at.swap(self.next(now), Ordering::Relaxed) == 0
    }

    fn next(&self, now: u64) -> u64 {
        let pause = u64::try_from(self.rule.pause.as_millis()).unwrap_or(u64::MAX);
        now.saturating_add(pause).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> Circuit {
        let failures = NonZeroU32::new(3).unwrap();
        Circuit::new(Rule { failures, pause: Duration::from_millis(100) })
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_closes_it() {
        let circuit = circuit();

        assert!(!circuit.failed(0) && !circuit.failed(1));
        circuit.answered();
        assert!(!circuit.failed(2) && !circuit.failed(3));
        assert!(circuit.admits(4));
        assert!(circuit.failed(5));

        assert!(!circuit.admits(6));
        assert_eq!(circuit.wait(6), Duration::from_millis(99));
        circuit.answered();
        assert!(circuit.is_closed() && circuit.admits(7));
    }

    #[test]
    fn after_the_pause_one_request_tries() {
        let circuit = circuit();
        for _ in 0..3 {
            circuit.failed(0);
        }

        assert!(circuit.admits(100));
        assert!(!circuit.admits(100) && !circuit.admits(150));
        assert!(!circuit.failed(150));
        assert!(!circuit.admits(249));
        assert!(circuit.admits(250));
    }
}
