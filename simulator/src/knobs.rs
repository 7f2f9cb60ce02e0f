//! Knobs: how often this provider declines, loses an answer or refuses, how slow it is, and when it
//! is silent.
//!
//! What a knob does to a request follows from the request's idempotency key, so a repetition meets
//! the same provider, and a run can be repeated.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// What goes wrong, in percent of the requests, and how slowly the others are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Knobs {
    /// How many percent of the charges that a token would let through are declined
    #[arg(long, env = "SHOP_DECLINE_PERCENT", default_value = "0", value_parser = percent())]
    pub decline_percent: u8,
    /// How many percent of charges and refunds are carried out and their first answer is lost
    #[arg(long, env = "SHOP_LOST_PERCENT", default_value = "0", value_parser = percent())]
    pub lost_percent: u8,
    /// How many percent of the refunds are refused for good
    #[arg(long, env = "SHOP_REFUSED_REFUND_PERCENT", default_value = "0", value_parser = percent())]
    pub refused_refund_percent: u8,
    /// How long every charge and refund takes
    #[arg(long, env = "SHOP_LATENCY", default_value = "0s", value_parser = chassis::config::duration)]
    pub latency: Duration,
    /// How long no request is answered, at the end of each period of `SHOP_SILENCE_EVERY`
    #[arg(long, env = "SHOP_SILENCE", default_value = "0s", value_parser = chassis::config::duration)]
    pub silence: Duration,
    /// How long a period is, of which the end is silent
    #[arg(long, env = "SHOP_SILENCE_EVERY", default_value = "1m", value_parser = chassis::config::duration)]
    pub silence_every: Duration,
}

fn percent() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=100)
}

impl Knobs {
    pub(crate) fn is_declined(&self, key: &str) -> bool {
        happens("declined", key, self.decline_percent)
    }

    pub(crate) fn is_lost(&self, key: &str) -> bool {
        happens("lost", key, self.lost_percent)
    }

    pub(crate) fn is_refund_refused(&self, key: &str) -> bool {
        happens("refused", key, self.refused_refund_percent)
    }

    /// Waits as long as this provider takes for a request; `began` is when the process began.
    pub(crate) async fn delay(&self, began: Instant) {
        sleep(self.latency + self.silent_for(began.elapsed())).await;
    }

    /// How long the provider stays silent, so long after its start.
    fn silent_for(&self, after: Duration) -> Duration {
        let period = self.silence_every.as_millis().max(1);
        let silence = self.silence.as_millis().min(period);
        let left = period - after.as_millis() % period;
        let left = if left <= silence { left } else { 0 };
        Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

/// Whether something that happens to `percent` of all keys happens to `key`.
fn happens(what: &str, key: &str, percent: u8) -> bool {
    let mut hasher = DefaultHasher::new();
    (what, key).hash(&mut hasher);
    hasher.finish() % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_keys_are_hit_as_the_knob_says_and_each_one_always() {
        let hit = |percent| (0..10_000).filter(move |n| happens("lost", &format!("k{n}"), percent));
        assert_eq!(hit(0).count(), 0);
        assert_eq!(hit(100).count(), 10_000);
        let some: Vec<_> = hit(5).collect();
        assert!((350..650).contains(&some.len()), "{} of 10,000", some.len());
        assert_eq!(hit(5).collect::<Vec<_>>(), some);
    }

    #[test]
    fn silence_stands_at_the_end_of_each_period() {
        let s = Duration::from_secs;
        let knobs = Knobs { silence: s(10), silence_every: s(60), ..Knobs::default() };
        for (after, silent) in [(0, 0), (49, 0), (50, 10), (59, 1), (60, 0), (115, 5)] {
            assert_eq!(knobs.silent_for(s(after)), s(silent), "after {after} s");
        }
        assert_eq!(Knobs::default().silent_for(s(59)), s(0));
    }
}
