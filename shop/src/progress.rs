//! What a person sees while a stack comes up: one line for each step, with the time it took.

use std::time::{Duration, Instant};

use crate::terminal;

/// A step that has begun.
pub struct ProgressStep {
    name: &'static str,
    start: Instant,
}

impl ProgressStep {
    /// Begins a step.
    pub fn begin(name: &'static str) -> Self {
        Self { name, start: Instant::now() }
    }

    /// Says that the step is done, how long it took, and what came of it.
    pub fn done(self, what: &str) {
        let Self { name, start } = self;
        terminal::note(format!("  {:>8}  {name:<14} {what}", seconds(start.elapsed())));
    }

    /// Says that the step will take a while, and why.
    pub fn note(&self, why: &str) {
        terminal::note(format!("  {:>8}  {:<14} {why}", "…", self.name));
    }
}

/// A duration with a tenth of a second: `1.3 s`.
fn seconds(elapsed: Duration) -> String {
    format!("{}.{} s", elapsed.as_secs(), elapsed.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_one_digit_after_the_point() {
        assert_eq!(seconds(Duration::from_millis(1_349)), "1.3 s");
    }
}
