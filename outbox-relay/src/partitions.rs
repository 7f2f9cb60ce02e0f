//! Which partitions know a producer, and what waits until they do.
//!
//! A broker finds a gap in a producer's messages by their sequence numbers, but it takes any number
//! from a producer that the partition knows nothing of (KAFKA-14359). If a partition's first
//! request failed while a second one is in flight, the second would be taken: its events would
//! overtake, and where the first failed for a passing reason only, librdkafka would count it as
//! written because its successor was. So the first message to a partition goes alone, and what
//! follows waits for its acknowledgement.

use std::{
    collections::HashMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

/// A partition that was not sent to for so long counts as one that knows nothing: brokers forget an
/// idle producer, after a day by default (`producer.id.expiration.ms`).
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// The partitions of a producer's topics; `M` is a message that waits.
pub(crate) struct Partitions<M> {
    topics: HashMap<Arc<str>, Vec<Partition<M>>>,
    /// Partitions whose first message is in flight.
    introductions: usize,
}

struct Partition<M> {
    contact: Contact,
    waiting: Vec<M>,
}

/// What a partition knows of the producer.
enum Contact {
    Nothing,
    /// The first message is in flight.
    Introduced,
    /// A message was acknowledged; the last one was sent then.
    Known(Instant),
}

impl<M> Partition<M> {
    fn new() -> Self {
        Self { contact: Contact::Nothing, waiting: Vec::new() }
    }
}

impl<M> Partitions<M> {
    pub(crate) fn new(counts: &HashMap<Arc<str>, usize>) -> Self {
        let partitions = |count: &usize| (0..*count).map(|_| Partition::new()).collect();
        let topics = counts.iter().map(|(topic, count)| (Arc::clone(topic), partitions(count)));
        Self { topics: topics.collect(), introductions: 0 }
    }

    /// The partition of a key: that of Kafka's Java client, so that other producers put a key into
    /// the same one. `None` for an unknown topic.
    pub(crate) fn of(&self, topic: &str, key: &[u8]) -> Option<i32> {
        let count = u32::try_from(self.topics.get(topic)?.len()).ok()?;
        let hash = murmur2(key) & 0x7fff_ffff;
        i32::try_from(hash.checked_rem(count)?).ok()
    }

    /// Whether the next message may be sent to a partition; if not, it has to wait (`wait`).
    pub(crate) fn admits(&mut self, topic: &str, partition: i32, now: Instant) -> bool {
        let Some(partition) = find(&mut self.topics, topic, partition) else { return false };
        if !partition.waiting.is_empty() {
            return false;
        }
        match &mut partition.contact {
            Contact::Known(sent_at) if now.duration_since(*sent_at) < FORGOTTEN_AFTER => {
                *sent_at = now;
                true
            }
            Contact::Nothing | Contact::Known(_) => {
                partition.contact = Contact::Introduced;
                self.introductions += 1;
                true
            }
            Contact::Introduced => false,
        }
    }

    pub(crate) fn wait(&mut self, topic: &str, partition: i32, message: M) {
        if let Some(partition) = find(&mut self.topics, topic, partition) {
            partition.waiting.push(message);
        }
    }

    /// Whether any partition's first message is in flight.
    pub(crate) fn has_introductions(&self) -> bool {
        self.introductions > 0
    }

    /// Takes note that a message to a partition was acknowledged.
    pub(crate) fn acknowledge(&mut self, topic: &str, partition: i32, now: Instant) {
        if let Some(partition) = find(&mut self.topics, topic, partition)
            && matches!(partition.contact, Contact::Introduced)
        {
            partition.contact = Contact::Known(now);
            self.introductions -= 1;
        }
    }

    /// Takes what waited for partitions that know the producer by now, in the order it came.
    pub(crate) fn take_admitted(&mut self) -> Vec<M> {
        let partitions = self.topics.values_mut().flatten();
        partitions
            .filter(|partition| matches!(partition.contact, Contact::Known(_)))
            .flat_map(|partition| mem::take(&mut partition.waiting))
            .collect()
    }
}

fn find<'a, M>(
    topics: &'a mut HashMap<Arc<str>, Vec<Partition<M>>>,
    topic: &str,
    partition: i32,
) -> Option<&'a mut Partition<M>> {
    topics.get_mut(topic)?.get_mut(usize::try_from(partition).ok()?)
}

/// `MurmurHash2` as `org.apache.kafka.common.utils.Utils.murmur2` has it.
fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let (words, tail) = key.as_chunks::<4>();
    // Kafka's keys are far shorter than 4 GB.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    for word in words {
        hash = hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions() -> Partitions<u8> {
        Partitions::new(&HashMap::from([(Arc::from("topic"), 2)]))
    }

    #[test]
    fn keys_have_the_hashes_of_kafkas_own_tests() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn what_follows_the_first_message_waits_and_goes_in_order() {
        let (mut partitions, now) = (partitions(), Instant::now());
        assert!(partitions.admits("topic", 0, now));
        assert!(!partitions.admits("topic", 0, now));
        partitions.wait("topic", 0, 1);
        assert!(partitions.admits("topic", 1, now), "another partition is on its own");
        partitions.wait("topic", 0, 2);
        assert!(partitions.take_admitted().is_empty());

        partitions.acknowledge("topic", 0, now);
        assert!(!partitions.admits("topic", 0, now), "what waits goes first");
        assert_eq!(partitions.take_admitted(), [1, 2]);
        assert!(partitions.admits("topic", 0, now) && partitions.admits("topic", 0, now));
        assert!(partitions.has_introductions());
        partitions.acknowledge("topic", 1, now);
        assert!(!partitions.has_introductions());
    }

    #[test]
    fn after_an_idle_hour_the_first_message_goes_alone_again() {
        let (mut partitions, start) = (partitions(), Instant::now());
        partitions.admits("topic", 0, start);
        partitions.acknowledge("topic", 0, start);
        let soon = start + FORGOTTEN_AFTER / 2;
        assert!(partitions.admits("topic", 0, soon) && partitions.admits("topic", 0, soon));

        let late = soon + FORGOTTEN_AFTER;
        assert!(partitions.admits("topic", 0, late));
        assert!(!partitions.admits("topic", 0, late));
    }

    #[test]
    fn a_topic_that_is_not_known_has_no_partition() {
        assert_eq!(partitions().of("other", b"key"), None);
        assert_eq!(
            Partitions::<u8>::new(&HashMap::from([(Arc::from("t"), 0)])).of("t", b"k"),
            None
        );
    }
}
