//! The circuit breaker of one instance: closed, open, half-open.
//!
//! Closed, it remembers its last ten outcomes, and opens when half of them failed, at least five
//! being known. Open, it lets nothing through for a while. Half-open, it lets one request through as
//! a trial, whose outcome closes or opens it. Times are passed in, as milliseconds since the
//! process's start.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use proto::words;

/// How many outcomes are remembered.
const WINDOW: u32 = 10;
/// How many of a hundred remembered outcomes have to be failures.
const FAILED_PERCENT: u32 = 50;
/// The bits of a window that are its outcomes, a failure each; above them is their number.
const OUTCOMES: u32 = (1 << WINDOW) - 1;

/// How a circuit behaves.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// How many outcomes have to be known before the circuit may open.
    pub calls: u32,
    /// How long the circuit stays open before the trial.
    pub pause: Duration,
}

words! {
    /// What a circuit does with requests.
    pub enum CircuitState {
        Closed = "closed",
        Open = "open",
        HalfOpen = "half_open",
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// As what a request may go through; its outcome is told with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Ordinary,
    /// The outcome decides whether the circuit closes. It has to be told, or [`Circuit::abandon`].
    Trial,
}

/// The state of one instance.
// An outcome that races with a change of state may count for the next one, which does no harm.
#[derive(Debug)]
pub struct Circuit {
    rule: Rule,
    window: AtomicU32,
    /// When the trial is due; 0 while the circuit is closed.
    trial_at: AtomicU64,
    /// Whether the trial is under way.
    on_trial: AtomicBool,
}

impl Circuit {
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            window: AtomicU32::new(0),
            trial_at: AtomicU64::new(0),
            on_trial: AtomicBool::new(false),
        }
    }

    pub fn state(&self) -> CircuitState {
        if self.trial_at.load(Ordering::Acquire) == 0 {
            CircuitState::Closed
        } else if self.on_trial.load(Ordering::Acquire) {
            CircuitState::HalfOpen
        } else {
            CircuitState::Open
        }
    }

    /// Whether [`Circuit::admit`] would let a request through now.
    pub fn admits(&self, now: u64) -> bool {
        match self.trial_at.load(Ordering::Acquire) {
            0 => true,
            due => now >= due && !self.on_trial.load(Ordering::Acquire),
        }
    }

    /// Lets a request through, or does not.
    pub fn admit(&self, now: u64) -> Option<Admission> {
        match self.trial_at.load(Ordering::Acquire) {
            0 => Some(Admission::Ordinary),
            due => (now >= due && !self.on_trial.swap(true, Ordering::AcqRel))
                .then_some(Admission::Trial),
        }
    }

    /// How long until the trial.
    pub fn wait(&self, now: u64) -> Duration {
        Duration::from_millis(self.trial_at.load(Ordering::Acquire).saturating_sub(now))
    }

    /// The request was answered. Returns whether this closed the circuit.
    pub fn succeeded(&self, admission: Admission) -> bool {
        if admission == Admission::Trial {
            self.window.store(0, Ordering::Release);
            self.trial_at.store(0, Ordering::Release);
            self.on_trial.store(false, Ordering::Release);
            return true;
        }
        // Most windows are full of successes and stay so: a cache line that nobody writes stays in
        // every core's cache.
        let next = |window| Some(pushed(window, false)).filter(|next| *next != window);
        let _unchanged = self.window.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        false
    }

    /// The request failed. Returns whether this opened the circuit.
    pub fn failed(&self, admission: Admission, now: u64) -> bool {
        let pause = u64::try_from(self.rule.pause.as_millis()).unwrap_or(u64::MAX);
        let due = now.saturating_add(pause).max(1);
        if admission == Admission::Trial {
            self.trial_at.store(due, Ordering::Release);
            self.on_trial.store(false, Ordering::Release);
            return true;
        }
        let next = |window| Some(pushed(window, true));
        let before = self.window.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        let window = pushed(before.unwrap_or_else(|before| before), true);
        let (calls, failures) = (window >> WINDOW, (window & OUTCOMES).count_ones());
        let opens = calls >= self.rule.calls && failures * 100 >= calls * FAILED_PERCENT;
        // What fails while it is open was sent before: it moves no trial.
        let exchange =
            || self.trial_at.compare_exchange(0, due, Ordering::AcqRel, Ordering::Acquire);
        opens && exchange().is_ok()
    }

    /// The request has no outcome: its client went away.
    pub fn abandon(&self, admission: Admission) {
        if admission == Admission::Trial {
            self.on_trial.store(false, Ordering::Release);
        }
    }
}

/// A window with one outcome more, and without its oldest if it is full.
fn pushed(window: u32, failed: bool) -> u32 {
    let calls = (window >> WINDOW).saturating_add(1).min(WINDOW);
    let outcomes = ((window & OUTCOMES) << 1 | u32::from(failed)) & OUTCOMES;
    calls << WINDOW | outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> Circuit {
        Circuit::new(Rule { calls: 5, pause: Duration::from_millis(100) })
    }

    fn outcomes(circuit: &Circuit, text: &str) -> bool {
        let opened = text.chars().map(|outcome| match outcome {
            'x' => circuit.failed(Admission::Ordinary, 0),
            _ => circuit.succeeded(Admission::Ordinary),
        });
        opened.last().unwrap()
    }

    #[test]
    fn half_of_the_last_ten_open_it_once_five_are_known() {
        for (text, state) in [
            ("xxxx", CircuitState::Closed),
            ("xxxxx", CircuitState::Open),
            ("..xxx", CircuitState::Open),
            ("...xx", CircuitState::Closed),
            ("......xxxx", CircuitState::Closed),
            (".....xxxxx", CircuitState::Open),
            ("...............x.x.x.x", CircuitState::Closed),
            ("...............x.x.x.x.x", CircuitState::Open),
            ("xxxx......", CircuitState::Closed),
            ("xxxx..........xxxx", CircuitState::Closed),
        ] {
            let circuit = circuit();
            outcomes(&circuit, text);
            assert_eq!(circuit.state(), state, "{text}");
        }
    }

    #[test]
    fn after_the_pause_one_request_tries_and_decides() {
        let circuit = circuit();
        assert!(outcomes(&circuit, "xxxxx"));
        assert_eq!((circuit.admit(99), circuit.wait(99)), (None, Duration::from_millis(1)));

        assert!(circuit.admits(100));
        assert_eq!(circuit.admit(100), Some(Admission::Trial));
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert_eq!((circuit.admits(500), circuit.admit(500)), (false, None));
        circuit.failed(Admission::Trial, 500);
        assert_eq!((circuit.state(), circuit.admit(599)), (CircuitState::Open, None));

        assert_eq!(circuit.admit(600), Some(Admission::Trial));
        assert!(circuit.succeeded(Admission::Trial));
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert_eq!(circuit.admit(600), Some(Admission::Ordinary));
        assert!(!outcomes(&circuit, "xxxx"), "what was before is forgotten");
    }

    #[test]
    fn a_trial_without_an_outcome_is_followed_by_another() {
        let circuit = circuit();
        outcomes(&circuit, "xxxxx");
        assert_eq!(circuit.admit(100), Some(Admission::Trial));

        circuit.abandon(Admission::Trial);

        assert_eq!(circuit.admit(101), Some(Admission::Trial));
    }

    #[test]
    fn what_was_sent_before_it_opened_moves_no_trial() {
        let circuit = circuit();
        outcomes(&circuit, "xxxxx");

        assert!(!circuit.failed(Admission::Ordinary, 90));
        assert!(!circuit.succeeded(Admission::Ordinary));

        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(circuit.admit(100), Some(Admission::Trial));
    }
}
