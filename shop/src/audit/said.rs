//! The events of one topic: the rows that the outbox still has, and the messages in Kafka, compared
//! with each other.
//!
//! The outbox is read first, in one snapshot with the relay's last checkpoint (tick), and Kafka up
//! to an end that was asked for afterwards. So every row that the tick calls published must be
//! found, and nothing is wrong only because time went by. Of each event one number is kept, a hash
//! of envelope and payload, because a million orders have five million events.
//!
//! A topic is judged by what it holds now: an event that came twice must be the same twice, and in
//! a topic that was made anew a key begins with the first row that its outbox still has.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    check::{Checks, Promise},
    hash,
};
use crate::by_id::ById;

/// An event, from its outbox row or its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) key: &'a [u8],
    pub(super) version: i64,
    pub(super) id: Uuid,
    /// The number of its type.
    pub(super) number: i16,
    /// When it was announced, in microseconds since 1970.
    pub(super) at: i64,
    pub(super) trace: Option<[u8; 25]>,
    pub(super) payload: &'a [u8],
}

/// Where a message is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: i32,
    /// Whether retention has removed the beginning of this partition.
    pub(super) is_trimmed: bool,
}

/// Everything that was published on one topic.
#[derive(Debug)]
pub(super) struct TopicContents {
    topic: &'static str,
    /// Whether only the last event of each key is sure to be there.
    is_compacted: bool,
    /// Whether no row has left the outbox yet.
    is_whole: bool,
    chains: ById<Chain>,
    /// Keys that are no UUIDs, by the number that stands for each.
    names: HashMap<u128, String>,
}

/// The events of one key.
#[derive(Debug, Default)]
struct Chain {
    /// The version of the first hash; 0 while there are none.
    first: i64,
    hashes: Vec<u64>,
    /// The highest version that has certainly been published.
    published: i64,
    /// Whether that was so long ago that retention may have removed it from Kafka.
    may_be_gone: bool,
    /// The version that has to come next from Kafka; 0 while none has come.
    next: i64,
    partition: i32,
    /// When the last row of the outbox was written, in seconds since 1970.
    outbox_at: u32,
}

impl TopicContents {
    pub(super) fn on(topic: &'static str, is_compacted: bool, is_whole: bool) -> Self {
        let (chains, names) = (ById::default(), HashMap::new());
        Self { topic, is_compacted, is_whole, chains, names }
    }

    /// Takes in a row of the outbox; rows come in the order of their positions.
    pub(super) fn row(&mut self, event: Event<'_>, published: Publication, checks: &mut Checks) {
        let number = self.number(event.key);
        let chain = self.chains.entry(number).or_default();
        let expected = if chain.first == 0 { event.version } else { chain.end() };
        checks.looked(Promise::VersionsAgree, 1);
        if event.version != expected {
            let (topic, name) = (self.topic, text(event.key));
            checks.broken(Promise::VersionsAgree, || {
                format!(
                    "the outbox of {topic} goes from version {} of {name} to {}",
                    expected - 1,
                    event.version
                )
            });
            return;
        }
        if chain.first == 0 {
            chain.first = event.version;
        }
        chain.hashes.push(event_hash(event));
        chain.outbox_at = u32::try_from(event.at / 1_000_000).unwrap_or_default();
        if published != Publication::NotYet {
            chain.published = event.version;
            chain.may_be_gone = published == Publication::LongAgo;
            checks.looked(Promise::OutboxInKafka, 1);
        }
    }

    /// Takes in a message of the topic; messages come in the order of their offsets. Returns
    /// whether it came for the first time.
    pub(super) fn message(&mut self, event: Event<'_>, place: Place, checks: &mut Checks) -> bool {
        let number = self.number(event.key);
        let (topic, is_compacted, is_whole) = (self.topic, self.is_compacted, self.is_whole);
        let chain = self.chains.entry(number).or_default();
        let name = || format!("version {} of {} on {topic}", event.version, text(event.key));
        checks.looked(Promise::VersionsGapFree, 1);
        if chain.next == 0 {
            chain.partition = place.partition;
            checks.looked(Promise::OnePartitionAKey, 1);
            let is_first_kept = !is_whole && chain.first == event.version;
            let may_start_late = is_compacted || place.is_trimmed || is_first_kept;
            chain.next = if may_start_late { event.version } else { 1 };
        } else if chain.partition != place.partition {
            let other = chain.partition;
            checks.broken(Promise::OnePartitionAKey, || {
                format!("{} is on {}, others of its key on {other}", name(), place.partition)
            });
        }
        chain.compare(event, checks, name);
        if event.version < chain.next {
            return false;
        }
        if event.version > chain.next && !is_compacted {
            chain.report_gap(event.version, checks, name);
        }
        chain.next = event.version + 1;
        true
    }

    /// After the last message: reports what was published and is nowhere in Kafka.
    pub(super) fn finish(&self, checks: &mut Checks) {
        for (number, chain) in &self.chains {
            let reached = if chain.next == 0 { chain.first } else { chain.next };
            let lost = chain.published + 1 - reached;
            let is_excused = chain.may_be_gone && chain.next == 0;
            if chain.published > 0 && lost > 0 && !is_excused {
                checks.broken(Promise::OutboxInKafka, || {
                    let key = self.names.get(number).cloned();
                    let key = key.unwrap_or_else(|| Uuid::from_u128(*number).to_string());
                    format!("version {reached} of {key} is not on {}", self.topic)
                });
            }
        }
    }

    /// How far the outbox has come with a key.
    pub(super) fn reached(&self, key: u128) -> KeyProgress {
        self.chains.get(&key).map_or_else(KeyProgress::default, |chain| KeyProgress {
            outbox: if chain.first == 0 { 0 } else { chain.end() - 1 },
            outbox_at: chain.outbox_at,
        })
    }

    /// Whether a message is the event that was announced under its version, as far as that is
    /// known.
    pub(super) fn is_genuine(&self, order: u128, event: Event<'_>) -> bool {
        let known = self.chains.get(&order).and_then(|chain| chain.known(event.version));
        known.is_none_or(|known| known == event_hash(event))
    }

    /// The number that stands for a key; for a UUID its own.
    fn number(&mut self, key: &[u8]) -> u128 {
        if let Ok(id) = Uuid::try_parse_ascii(key) {
            return id.as_u128();
        }
        let number = number_of_name(key);
        self.names.entry(number).or_insert_with(|| text(key));
        number
    }
}

/// A number for a name that is no UUID: two hashes side by side, because 128 bits do not collide.
pub(super) fn number_of_name(name: &[u8]) -> u128 {
    let half = |salt: u8| u128::from(hash((salt, name)));
    half(0) << 64 | half(1)
}

/// Whether an outbox row has reached Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publication {
    NotYet,
    Yes,
    /// The row has reached Kafka, which may have deleted it since.
    LongAgo,
}

/// How far the events of a key have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyProgress {
    /// The highest version in the outbox.
    pub(super) outbox: i64,
    /// When the last row of the outbox was written, in seconds since 1970; 0 if there is none.
    pub(super) outbox_at: u32,
}

impl Chain {
    fn end(&self) -> i64 {
        self.first + i64::try_from(self.hashes.len()).unwrap_or(i64::MAX)
    }

    /// Compares an event with what is known of its version: its outbox row, or the message that
    /// came first.
    fn compare(&mut self, event: Event<'_>, checks: &mut Checks, name: impl Fn() -> String) {
        let hash = event_hash(event);
        if self.first == 0 {
            self.first = event.version;
            self.hashes.push(hash);
        } else if let Some(known) = self.known(event.version) {
            checks.looked(Promise::DuplicatesIdentical, 1);
            if known != hash {
                checks.broken(Promise::DuplicatesIdentical, || {
                    format!("{} is not what was said first, event {}", name(), event.id)
                });
            }
        } else if event.version == self.end() {
            self.hashes.push(hash);
        }
    }

    /// The hash of what was first known under a version.
    fn known(&self, version: i64) -> Option<u64> {
        let at = usize::try_from(version.checked_sub(self.first)?).ok()?;
        self.hashes.get(at).copied()
    }

    fn report_gap(&self, version: i64, checks: &mut Checks, name: impl Fn() -> String) {
        let missing = self.next;
        checks.broken(Promise::VersionsGapFree, || format!("{} follows {}", name(), missing - 1));
        // Versions before the first row that the outbox still has may have been deleted.
        let lost = missing.max(self.first);
        if lost < version && lost <= self.published {
            checks.broken(Promise::OutboxInKafka, || {
                format!("version {lost} is missing before {}", name())
            });
        }
    }
}

fn event_hash(event: Event<'_>) -> u64 {
    hash((event.id, event.number, event.at, event.trace, event.payload))
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests;
