//! What operators see of consuming: the state and lag of every partition.

use std::{collections::HashMap, time::Duration};

use proto::words;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    metadata::{MetadataPartition, MetadataTopic},
};
use time::OffsetDateTime;

use crate::{
    assignment::Member,
    consumers::{Halts, Partition},
    positions::{self, Extent},
};

/// Stopped partitions that the health check names one by one.
const TOLD_MAX: usize = 3;
/// Limit of one question to Kafka.
const ASK: Duration = Duration::from_secs(2);

/// A partition as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedPartition {
    pub topic: String,
    /// `None` for a paused topic whose partitions Kafka does not tell now.
    pub partition: Option<i32>,
    pub state: ConsumerState,
    /// Why the partition is not read.
    pub reason: Option<String>,
    /// Messages after the committed offset; `None` where Kafka does not tell.
    pub lag: Option<i64>,
    /// Since when the partition is not read.
    pub since: Option<OffsetDateTime>,
}

words! {
    /// Whether a partition is read.
    pub enum ConsumerState {
        Reading = "reading",
        /// Paused by an operator, with its topic.
        Paused = "paused",
        /// Stopped by itself, because Kafka lacks what comes next.
        Stopped = "stopped",
    }
}

/// Everything that is not consumed, in one line.
pub(crate) fn told(halts: &Halts) -> Option<String> {
    let stopped = halts.stopped.iter().map(|(Partition { topic, number }, halt)| {
        format!("{topic} {number} has stopped: {}", halt.reason)
    });
    let paused =
        halts.paused.iter().map(|(topic, halt)| format!("{topic} is paused: {}", halt.reason));
    let (mut told, mut paused): (Vec<_>, Vec<_>) = (stopped.collect(), paused.collect());
    told.sort();
    paused.sort();
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    if more > 0 {
        told.push(format!("{more} partitions more have stopped"));
    }
    told.extend(paused);
    (!told.is_empty()).then(|| told.join("; "))
}

/// All partitions that are known or halted, by topic and number.
pub(crate) fn list(
    halts: &Halts,
    known: &HashMap<Partition, Option<Extent>>,
) -> Vec<ConsumedPartition> {
    let mut partitions: Vec<Partition> =
        known.keys().chain(halts.stopped.keys()).cloned().collect();
    partitions.sort();
    partitions.dedup();
    let is_known = |topic: &String| partitions.iter().any(|partition| partition.topic == *topic);
    let untold = halts.paused.iter().filter(|(topic, _)| !is_known(topic));
    let mut list: Vec<ConsumedPartition> = untold
        .map(|(topic, halt)| ConsumedPartition {
            topic: topic.clone(),
            partition: None,
            state: ConsumerState::Paused,
            reason: Some(halt.reason.clone()),
            lag: None,
            since: Some(halt.since),
        })
        .collect();
    list.extend(partitions.iter().map(|partition| {
        let lag = known.get(partition).copied().flatten().map(lag);
        shown(partition.clone(), halts, lag)
    }));
    list.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    list
}

/// The partitions of topics, and what Kafka tells of each.
pub(crate) fn partitions(
    consumer: &BaseConsumer<Member>,
    topics: &[&str],
) -> HashMap<Partition, Option<Extent>> {
    let mut partitions = Vec::new();
    for topic in topics {
        // Kafka is away: it will not answer about the other topics, either.
        let Ok(found) = consumer.client().fetch_metadata(Some(topic), ASK) else { break };
        let found = found.topics().iter().flat_map(MetadataTopic::partitions);
        for number in found.map(MetadataPartition::id) {
            partitions.push(Partition { topic: (*topic).to_owned(), number });
        }
    }
    partitions.sort();
    let mut extents = positions::extents(consumer, &partitions);
    partitions.into_iter().map(|it| (it.clone(), extents.remove(&it))).collect()
}

fn lag(extent: Extent) -> i64 {
    (extent.high - extent.committed.unwrap_or(extent.low)).max(0)
}

fn shown(partition: Partition, halts: &Halts, lag: Option<i64>) -> ConsumedPartition {
    let stopped = halts.stopped.get(&partition).map(|halt| (ConsumerState::Stopped, halt));
    let paused = || halts.paused.get(&partition.topic).map(|halt| (ConsumerState::Paused, halt));
    let halted = stopped.or_else(paused);
    ConsumedPartition {
        state: halted.map_or(ConsumerState::Reading, |(state, _)| state),
        reason: halted.map(|(_, halt)| halt.reason.clone()),
        since: halted.map(|(_, halt)| halt.since),
        topic: partition.topic,
        partition: Some(partition.number),
        lag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::Halt;

    #[test]
    fn the_health_names_a_few_partitions_and_counts_the_others() {
        let halt = Halt { reason: "gone".to_owned(), since: OffsetDateTime::UNIX_EPOCH };
        let mut halts = Halts::default();
        assert_eq!(told(&halts), None);
        for number in 0..5 {
            halts.stopped.insert(Partition { topic: "t".to_owned(), number }, halt.clone());
        }
        halts.paused.insert("u".to_owned(), halt);
        let told = told(&halts).unwrap();
        assert!(told.starts_with("t 0 has stopped: gone; t 1 has"), "{told}");
        assert!(told.ends_with("; 2 partitions more have stopped; u is paused: gone"), "{told}");
    }

    #[test]
    fn what_kafka_does_not_tell_is_shown_all_the_same() {
        let halt = Halt { reason: "a look".to_owned(), since: OffsetDateTime::UNIX_EPOCH };
        let mut halts = Halts::default();
        halts.paused.insert("u".to_owned(), halt.clone());
        halts.stopped.insert(Partition { topic: "t".to_owned(), number: 3 }, halt);
        let list = list(&halts, &HashMap::new());
        let shown: Vec<_> = list.iter().map(|it| (&*it.topic, it.partition, it.state)).collect();
        assert_eq!(
            shown,
            [("t", Some(3), ConsumerState::Stopped), ("u", None, ConsumerState::Paused)]
        );
    }
}
