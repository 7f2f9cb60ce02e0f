//! The watchdog: decides, from observations every few seconds, whether consuming has stalled. Pure.
//!
//! Kafka clients have been known to stop without an error. Whatever the cause, the signs are the
//! same: messages wait, the broker answers, no message waits to be settled here, and still no
//! position moves. Then `consume` makes the consumer anew.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::consumers::Partition;

/// How long nothing may move: several times what a rebalance, a broker's restart or a slow lookup
/// takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// What can be observed of consuming at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Whether a broker answers.
    pub(crate) is_near: bool,
    /// Whether no message that was read waits to be settled; if one does, the database is slow, not
    /// Kafka.
    pub(crate) is_idle: bool,
    /// How many statistics the client has sent.
    pub(crate) reports: u64,
    /// Whether the group has given this member its partitions, and all of their positions are
    /// known.
    pub(crate) is_settled: bool,
    /// The partitions that should advance: neither paused nor stopped.
    pub(crate) partitions: HashMap<Partition, Progress>,
}

/// How far a partition has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) position: i64,
    pub(crate) lag: i64,
}

/// What has not moved since it was last observed to move, and since when.
#[derive(Default)]
pub(crate) struct Watchdog {
    /// The count of statistics, and since when it is unchanged.
    silent: Option<(u64, Instant)>,
    unsettled: Option<Instant>,
    stuck: HashMap<Partition, (i64, Instant)>,
}

impl Watchdog {
    /// Takes one observation; returns what has stalled, if anything has for [`PATIENCE`].
    pub(crate) fn look(&mut self, now: Instant, sight: &Observation) -> Option<String> {
        if !sight.is_near || !sight.is_idle {
            *self = Self::default();
            return None;
        }
        let is_over = |since: Instant| now.duration_since(since) >= PATIENCE;

        let (reports, since) = *self.silent.get_or_insert((sight.reports, now));
        if reports != sight.reports {
            self.silent = Some((sight.reports, now));
        } else if is_over(since) {
            return Some("the client tells nothing".to_owned());
        }

        if sight.is_settled {
            self.unsettled = None;
        } else if is_over(*self.unsettled.get_or_insert(now)) {
            return Some("what is to be read is not settled".to_owned());
        }

        self.stuck.retain(|partition, _| sight.partitions.contains_key(partition));
        for (partition, progress) in &sight.partitions {
            let stuck = self.stuck.entry(partition.clone()).or_insert((progress.position, now));
            if progress.lag <= 0 || stuck.0 != progress.position {
                *stuck = (progress.position, now);
            } else if is_over(stuck.1) {
                let Partition { topic, number } = partition;
                return Some(format!(
                    "{} messages of {topic} {number} wait, and none is read",
                    progress.lag
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: i64, lag: i64) -> Observation {
        let partition = Partition { topic: "t".to_owned(), number: 0 };
        Observation {
            is_near: true,
            is_idle: true,
            reports: 0,
            is_settled: true,
            partitions: HashMap::from([(partition, Progress { position, lag })]),
        }
    }

    /// What the watchdog says last, if it is shown these observations five seconds apart.
    fn last_word(sights: impl IntoIterator<Item = Observation>) -> Option<String> {
        let (mut watchdog, start) = (Watchdog::default(), Instant::now());
        let mut word = None;
        for (round, sight) in (0..).zip(sights) {
            assert_eq!(word, None, "it spoke before");
            let now = start + Duration::from_secs(5) * round;
            word = watchdog
                .look(now, &Observation { reports: sight.reports + u64::from(round), ..sight });
        }
        word
    }

    #[test]
    fn lag_without_progress_is_told_after_a_minute() {
        assert_eq!(last_word(vec![at(3, 10); 12]), None);
        let word = last_word(vec![at(3, 10); 13]).unwrap();
        assert_eq!(word, "10 messages of t 0 wait, and none is read");
    }

    #[test]
    fn progress_or_nothing_to_read_is_no_stall() {
        assert_eq!(last_word((0..50).map(|n| at(n, 1_000))), None);
        assert_eq!(last_word(vec![at(3, 0); 50]), None);
        // Partitions that are paused or stopped are not in an observation.
        assert_eq!(
            last_word(vec![Observation { partitions: HashMap::new(), ..at(3, 10) }; 50]),
            None
        );
    }

    #[test]
    fn a_broker_or_a_database_that_is_away_is_no_stall_and_its_time_does_not_count() {
        assert_eq!(last_word(vec![Observation { is_near: false, ..at(3, 10) }; 50]), None);
        assert_eq!(last_word(vec![Observation { is_idle: false, ..at(3, 10) }; 50]), None);
        let mut sights = vec![at(3, 10); 12];
        sights.push(Observation { is_near: false, ..at(3, 10) });
        sights.extend(vec![at(3, 10); 12]);
        assert_eq!(last_word(sights), None);
    }

    #[test]
    fn a_member_that_never_gets_its_partitions_is_told() {
        let waiting = Observation { is_settled: false, partitions: HashMap::new(), ..at(0, 0) };
        assert_eq!(last_word(vec![waiting.clone(); 12]), None);
        assert!(last_word(vec![waiting; 13]).unwrap().contains("not settled"));
    }

    #[test]
    fn a_client_that_falls_silent_is_told() {
        let (mut watchdog, start) = (Watchdog::default(), Instant::now());
        assert_eq!(watchdog.look(start, &at(0, 0)), None);
        assert!(watchdog.look(start + PATIENCE, &at(0, 0)).unwrap().contains("tells nothing"));
    }
}
