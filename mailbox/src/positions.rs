//! Where consuming of a partition begins: what Kafka has of it, what was applied of it, and the
//! decision, which is pure.
//!
//! Kafka forgets: retention removes messages that nobody had read, a group's offsets expire, and a
//! topic that is deleted and made anew counts from zero again. None of these may be a silent skip,
//! so a partition begins only if the message that comes next is the one that was to come next. This
//! client cannot ask for a topic's id; instead a message that was applied, whose id is in our
//! database (`consumer_positions`), is read once more and compared with what now lies at its
//! offset.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
};

use crate::consumers::{AppliedMessage, Partition};

/// What Kafka has of a partition, and where the group is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first offset that Kafka still has.
    pub(crate) low: i64,
    /// The offset after the last message.
    pub(crate) high: i64,
    /// The group's committed offset, which is the next to read, if it has one.
    pub(crate) committed: Option<i64>,
}

/// Where consuming of a partition begins, if it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Reads from `from`, drops messages before `next`, and compares the message at the offset of
    /// `known` with `known`.
    At { from: i64, next: i64, known: Option<AppliedMessage> },
    /// Does not begin, for this reason.
    Stop(String),
}

/// Decides where a partition begins. `compacted` topics may begin at whatever offset they begin at
/// now.
pub(crate) fn start(extent: Extent, applied: Option<AppliedMessage>, compacted: bool) -> Start {
    let Extent { low, high, committed } = extent;
    if let Some(it) = applied
        && it.offset >= high
    {
        return Start::Stop(format!(
            "the topic was made anew or cut: offset {} was applied, and Kafka ends before {high}",
            it.offset
        ));
    }
    let next = match (committed, applied) {
        (Some(committed), _) => committed,
        // The group's offsets have expired or were deleted with a topic: our own record of what was
        // applied serves as well.
        (None, Some(it)) => it.offset + 1,
        (None, None) if compacted => low,
        (None, None) => 0,
    };
    if next < low {
        return Start::Stop(format!(
            "messages that were not read are gone from Kafka: offset {next} is next, and Kafka \
             begins at {low}"
        ));
    }
    if next > high {
        return Start::Stop(format!(
            "the group's offset is beyond the end: offset {next} is next, and Kafka ends before \
             {high}"
        ));
    }
    let known = applied.filter(|it| it.offset >= low);
    let from = known.map_or(next, |it| it.offset.min(next));
    Start::At { from, next, known }
}

/// Limit of one lookup, which ordinarily takes milliseconds.
const LOOKUP: Duration = Duration::from_secs(2);
/// Limit of all lookups together: the group may be waiting for this member meanwhile.
const LOOKUPS: Duration = Duration::from_secs(5);

/// Asks Kafka about partitions, which must be sorted; leaves out those of which it cannot tell now.
pub(crate) fn extents<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[Partition],
) -> HashMap<Partition, Extent> {
    if partitions.is_empty() {
        return HashMap::new();
    }
    let started = Instant::now();
    let patience = || LOOKUPS.saturating_sub(started.elapsed()).min(LOOKUP);
    let committed = consumer.committed_offsets(list(partitions, Offset::Invalid), patience());
    let Some(committed) = told("the group's offsets", committed) else { return HashMap::new() };
    let mut extents = HashMap::new();
    // Topic by topic, because one that is being deleted must not hide the others.
    for of_topic in partitions.chunk_by(|one, other| one.topic == other.topic) {
        let ask = |end| consumer.offsets_for_times(list(of_topic, end), patience());
        let Some(lows) = told("a topic's beginning", ask(Offset::Beginning)) else { continue };
        let Some(highs) = told("a topic's end", ask(Offset::End)) else { continue };
        for partition in of_topic {
            let at = |found: &Offsets| found.get(partition).copied();
            let (Some(Offset::Offset(low)), Some(Offset::Offset(high))) = (at(&lows), at(&highs))
            else {
                continue;
            };
            let committed = match at(&committed) {
                Some(Offset::Offset(offset)) => Some(offset),
                Some(_) => None,
                None => continue,
            };
            extents.insert(partition.clone(), Extent { low, high, committed });
        }
    }
    extents
}

type Offsets = HashMap<Partition, Offset>;

/// The offsets of an answer, without those that came with an error of their own.
fn told(what: &str, answer: Result<TopicPartitionList, KafkaError>) -> Option<Offsets> {
    match answer {
        Ok(list) => {
            let sound = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                let partition = Partition { topic: it.topic().to_owned(), number: it.partition() };
                match it.error() {
                    Ok(()) => Some((partition, it.offset())),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        let Partition { topic, number } = &partition;
                        tracing::warn!(
                            error,
                            what,
                            topic,
                            partition = number,
                            "Kafka did not tell"
                        );
                        None
                    }
                }
            };
            Some(list.elements().iter().filter_map(sound).collect())
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, what, "Kafka did not tell");
            None
        }
    }
}

/// Partitions, each with the same offset.
pub(crate) fn list(partitions: &[Partition], offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for Partition { topic, number } in partitions {
        // Adding fails only for an offset below zero.
        let _added = list.add_partition_offset(topic, *number, offset);
    }
    list
}

/// Adds a partition at an offset that Kafka has, which is never below zero.
pub(crate) fn add(list: &mut TopicPartitionList, partition: &Partition, offset: i64) {
    let _added =
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset));
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn extent(low: i64, high: i64, committed: impl Into<Option<i64>>) -> Extent {
        Extent { low, high, committed: committed.into() }
    }

    fn applied(offset: i64) -> AppliedMessage {
        AppliedMessage { offset, event_id: Uuid::from_u128(7) }
    }

    #[track_caller]
    fn begins(start: &Start, expected_from: i64, expected_next: i64, compares: bool) {
        let Start::At { from, next, known } = start else { panic!("{start:?}") };
        assert_eq!((*from, *next, known.is_some()), (expected_from, expected_next, compares));
    }

    #[track_caller]
    fn stops(start: &Start, word: &str) {
        let Start::Stop(reason) = start else { panic!("{start:?}") };
        assert!(reason.contains(word), "{reason}");
    }

    #[test]
    fn what_was_never_read_begins_at_the_beginning_if_that_is_there() {
        begins(&start(extent(0, 9, None), None, false), 0, 0, false);
        begins(&start(extent(0, 0, None), None, false), 0, 0, false);
        stops(&start(extent(5, 9, None), None, false), "gone");
        stops(&start(extent(5, 5, None), None, false), "gone");
        begins(&start(extent(5, 9, None), None, true), 5, 5, false);
    }

    #[test]
    fn a_committed_offset_counts_while_kafka_has_it() {
        for next in [5, 7, 9] {
            begins(&start(extent(5, 9, next), None, false), next, next, false);
        }
        stops(&start(extent(5, 9, 4), None, false), "gone");
        stops(&start(extent(5, 9, 4), None, true), "gone");
        stops(&start(extent(5, 9, 10), None, false), "beyond");
    }

    #[test]
    fn a_message_that_was_applied_is_read_again_to_be_compared() {
        begins(&start(extent(0, 9, 7), Some(applied(4)), false), 4, 7, true);
        // Committed before a kill, and more applied after that: the last message applied is the
        // later.
        begins(&start(extent(0, 9, 4), Some(applied(6)), false), 4, 4, true);
        // Retention has removed the applied message: there is nothing to compare.
        begins(&start(extent(5, 9, 7), Some(applied(4)), false), 7, 7, false);
        stops(&start(extent(0, 3, 2), Some(applied(4)), false), "anew");
    }

    #[test]
    fn offsets_that_the_group_has_lost_are_ours() {
        begins(&start(extent(0, 9, None), Some(applied(4)), false), 4, 5, true);
        begins(&start(extent(5, 9, None), Some(applied(4)), false), 5, 5, false);
        stops(&start(extent(6, 9, None), Some(applied(4)), false), "gone");
        stops(&start(extent(0, 3, None), Some(applied(4)), false), "anew");
    }
}
