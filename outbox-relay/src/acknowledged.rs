//! Where partitions end as Kafka's acknowledgements tell, which is sooner than the next look.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The ends that a lane was told while it led.
#[derive(Default)]
pub(crate) struct AcknowledgedEnds {
    told: Mutex<LaneEnds>,
}

#[derive(Default)]
struct LaneEnds {
    /// The epoch in which the lane led last.
    epoch: i64,
    topics: HashMap<String, TopicEnds>,
}

/// What acknowledgements told of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicEnds {
    partitions: Vec<PartitionEnd>,
    /// Whether a partition took a message below its end: then the topic was made anew.
    pub(crate) has_fallen: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct PartitionEnd {
    /// The offset after the last message, zero if none was told.
    end: i64,
    told_at: Option<Instant>,
    /// The number that the next message of a request without an offset has.
    unnumbered: Option<i64>,
}

impl PartitionEnd {
    /// Takes note of an offset; returns whether it lies below the end although its message was sent
    /// after that end was told.
    fn note(&mut self, offset: i64, sent_at: Instant) -> bool {
        // librdkafka numbers the messages of a request from its first offset on, which a broker
        // leaves out (-1) where it had the request before.
        self.unnumbered = (offset < 0 || self.unnumbered == Some(offset)).then_some(offset + 1);
        if self.unnumbered.is_some() {
            return false;
        }
        if offset < self.end {
            // A message that was sent before may be acknowledged late, or once more.
            return self.told_at.is_some_and(|told_at| sent_at > told_at);
        }
        (self.end, self.told_at) = (offset + 1, Some(Instant::now()));
        false
    }
}

impl TopicEnds {
    /// Where each partition ends; zero where that was not told.
    pub(crate) fn ends(&self) -> Vec<i64> {
        self.partitions.iter().map(|known| known.end).collect()
    }

    fn note(&mut self, partition: usize, offset: i64, sent_at: Instant) {
        if self.partitions.len() <= partition {
            self.partitions.resize(partition + 1, PartitionEnd::default());
        }
        self.has_fallen |= self.partitions[partition].note(offset, sent_at);
    }
}

impl AcknowledgedEnds {
    /// Takes note of the offset of a message that was sent at `sent_at` or later.
    pub(crate) fn note(&self, topic: &str, partition: i32, offset: i64, sent_at: Instant) {
        let Ok(partition) = usize::try_from(partition) else { return };
        let LaneEnds { topics, .. } = &mut *self.lock();
        match topics.get_mut(topic) {
            Some(known) => known.note(partition, offset, sent_at),
            None => topics.entry(topic.to_owned()).or_default().note(partition, offset, sent_at),
        }
    }

    /// All that was told so far.
    pub(crate) fn told(&self) -> HashMap<String, TopicEnds> {
        self.lock().topics.clone()
    }

    /// Forgets a topic that was made anew.
    pub(crate) fn forget(&self, topic: &str) {
        self.lock().topics.remove(topic);
    }

    /// The lane leads, in this epoch. Forgets all topics, unless nobody else has led since.
    pub(crate) fn lead(&self, epoch: i64) {
        let LaneEnds { epoch: last, topics } = &mut *self.lock();
        if epoch != *last + 1 {
            topics.clear();
        }
        *last = epoch;
    }

    fn lock(&self) -> MutexGuard<'_, LaneEnds> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(acknowledged: &AcknowledgedEnds) -> TopicEnds {
        acknowledged.told().remove("topic").unwrap_or_default()
    }

    /// After all that was told so far.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn the_end_is_after_the_last_message() {
        let acknowledged = AcknowledgedEnds::default();
        for (partition, offset) in [(2, 0), (0, 7), (0, 8), (0, -1), (-1, 9)] {
            acknowledged.note("topic", partition, offset, Instant::now());
        }
        assert_eq!(told(&acknowledged).ends(), [9, 0, 1]);
        assert!(!told(&acknowledged).has_fallen);
    }

    #[test]
    fn messages_that_kafka_had_before_say_nothing() {
        let acknowledged = AcknowledgedEnds::default();
        acknowledged.note("topic", 0, 7, Instant::now());
        for offset in [-1, 0, 1, 2, 8] {
            acknowledged.note("topic", 0, offset, later());
        }
        assert_eq!(told(&acknowledged).ends(), [9]);
        assert!(!told(&acknowledged).has_fallen);
    }

    #[test]
    fn what_was_told_counts_until_somebody_else_leads() {
        let acknowledged = AcknowledgedEnds::default();
        acknowledged.lead(5);
        acknowledged.note("topic", 0, 7, Instant::now());
        acknowledged.lead(6);
        assert_eq!(told(&acknowledged).ends(), [8]);
        acknowledged.lead(8);
        assert!(told(&acknowledged).ends().is_empty());
    }

    #[test]
    fn a_message_below_an_end_that_it_was_sent_after_tells_a_topic_that_was_made_anew() {
        let (acknowledged, before) = (AcknowledgedEnds::default(), Instant::now());
        acknowledged.note("topic", 0, 5, before);
        acknowledged.note("topic", 0, 4, before);
        assert!(!told(&acknowledged).has_fallen, "it was sent before, and told once more");
        acknowledged.note("topic", 0, 0, later());
        assert!(told(&acknowledged).has_fallen);
        acknowledged.forget("topic");
        acknowledged.note("topic", 0, 0, Instant::now());
        assert!(!told(&acknowledged).has_fallen);
    }
}
