//! Where partitions end as Kafka's acknowledgements tell, which is sooner than the next look.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The ends that a lane was told.
#[derive(Default)]
pub(crate) struct AcknowledgedEnds {
    topics: Mutex<HashMap<String, TopicEnds>>,
}

/// What acknowledgements told of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicEnds {
    partitions: Vec<Option<PartitionEnd>>,
    /// Whether a partition took a message below its end: then the topic was made anew.
    pub(crate) has_fallen: bool,
}

#[derive(Clone, Copy, Debug)]
struct PartitionEnd {
    /// The offset after the last message.
    end: i64,
    told_at: Instant,
}

impl TopicEnds {
    /// Where each partition ends; zero where that was not told.
    pub(crate) fn ends(&self) -> Vec<i64> {
        self.partitions.iter().map(|known| known.map_or(0, |known| known.end)).collect()
    }

    fn note(&mut self, partition: usize, offset: i64, sent_at: Instant) {
        if self.partitions.len() <= partition {
            self.partitions.resize(partition + 1, None);
        }
        let known = &mut self.partitions[partition];
        match known {
            // A message that was sent before may be acknowledged late, or once more.
            Some(it) if offset < it.end => self.has_fallen |= sent_at > it.told_at,
            _ => *known = Some(PartitionEnd { end: offset + 1, told_at: Instant::now() }),
        }
    }
}

impl AcknowledgedEnds {
    /// Takes note of the offset of a message that was sent at `sent_at` or later.
    pub(crate) fn note(&self, topic: &str, partition: i32, offset: i64, sent_at: Instant) {
        // Where Kafka had a message before, it may tell no offset.
        let Some(partition) = usize::try_from(partition).ok().filter(|_| offset >= 0) else {
            return;
        };
        let mut topics = self.lock();
        match topics.get_mut(topic) {
            Some(known) => known.note(partition, offset, sent_at),
            None => topics.entry(topic.to_owned()).or_default().note(partition, offset, sent_at),
        }
    }

    /// All that was told so far.
    pub(crate) fn told(&self) -> HashMap<String, TopicEnds> {
        self.lock().clone()
    }

    /// Forgets a topic that was made anew.
    pub(crate) fn forget(&self, topic: &str) {
        self.lock().remove(topic);
    }

    /// Forgets all topics: another process may have led since.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, TopicEnds>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(acknowledged: &AcknowledgedEnds) -> TopicEnds {
        acknowledged.told().remove("topic").unwrap_or_default()
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
    fn a_message_below_an_end_that_it_was_sent_after_tells_a_topic_that_was_made_anew() {
        let (acknowledged, before) = (AcknowledgedEnds::default(), Instant::now());
        acknowledged.note("topic", 0, 5, before);
        acknowledged.note("topic", 0, 4, before);
        assert!(!told(&acknowledged).has_fallen, "it was sent before, and told once more");
        std::thread::sleep(std::time::Duration::from_millis(1));
        acknowledged.note("topic", 0, 0, Instant::now());
        assert!(told(&acknowledged).has_fallen);
        acknowledged.forget("topic");
        acknowledged.note("topic", 0, 0, Instant::now());
        assert!(!told(&acknowledged).has_fallen);
    }
}
