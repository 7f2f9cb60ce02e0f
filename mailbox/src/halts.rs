//! What operators do about consuming: pause topics, resume them, and say where to go on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};
use sqlx::{Connection, PgConnection};

use crate::{
    Clock, IdempotencyKey, Outcome,
    assignment::{CurrentConsumer, Member},
    consumed::{self, ConsumedPartition},
    consumers::{self, Halts, Partition},
    control::{Control, LOOK_EVERY},
    idempotency,
    operations::{self, Action, Operation},
    parked::bounds,
    positions::{self, Extent},
    reactor::Answer,
    session::Session,
};

/// Limit of all questions to Kafka in one request; a commit has no timeout of its own.
const ASK_MAX: Duration = Duration::from_secs(8);

/// Where a partition goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeFrom {
    /// At the committed offset, or the nearest one that Kafka has; without one, at the beginning.
    Here,
    Beginning,
    /// At this offset.
    Offset(i64),
}

/// What is to be resumed: everything, a topic, or one partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeScope<'a> {
    pub topic: Option<&'a str>,
    pub partition: Option<i32>,
    /// Where to go on; needed for what has stopped.
    pub from: Option<ResumeFrom>,
}

/// Who asks for a change and why, its idempotency key, and the answer to store once it is made.
#[derive(Clone, Debug)]
pub struct ConsumerRequest<'a> {
    pub caller: &'a str,
    pub reason: &'a str,
    pub key: Option<IdempotencyKey>,
    pub answer: Answer,
}

/// Why a pause or resume was not done.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The service does not consume this topic.
    #[error("the service does not hear this topic")]
    UnknownTopic,
    /// A partition in the scope has stopped, and the request does not say where to go on.
    #[error("what has stopped needs a place to go on from")]
    NoPlace,
    /// An offset was given without the one partition that it belongs to.
    #[error("an offset is a place in one partition")]
    NoPartition,
    /// The partition belongs to a topic that is paused as a whole.
    #[error("the topic is paused as a whole")]
    PausedWhole,
    /// The partition has not stopped, or does not exist.
    #[error("the partition has not stopped")]
    NotStopped,
    /// The offset is not one that Kafka has.
    #[error("Kafka has the offsets from {low} to {high}")]
    OutOfRange { low: i64, high: i64 },
    /// Kafka did not answer, or the group is rebalancing.
    #[error("Kafka did not take it: {0}")]
    Kafka(String),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database failed or did not answer.
    #[error("the database did not take it")]
    Database(#[from] sqlx::Error),
}

/// The operators' side of consuming: pauses and resumes.
pub(crate) struct HaltDesk {
    pub(crate) control: Arc<Control>,
    pub(crate) current: Arc<CurrentConsumer>,
    pub(crate) database_url: String,
    pub(crate) service: &'static str,
    pub(crate) hears: &'static [&'static str],
    pub(crate) clock: Clock,
}

impl HaltDesk {
    fn session(&self) -> sqlx::Result<Session> {
        Session::new(&self.database_url, &format!("{} operators", self.service))
    }

    /// Everything that is not consumed, in one line.
    pub(crate) fn told(&self) -> Option<String> {
        consumed::told(&self.control.halts())
    }

    /// Every partition that the service consumes, by topic and number.
    pub(crate) async fn list(&self) -> sqlx::Result<Vec<ConsumedPartition>> {
        self.control.look().await?;
        Ok(consumed::list(&self.control.halts(), &self.known().await))
    }

    /// Pauses a topic, or all that the service consumes.
    pub(crate) async fn pause(
        &self,
        topic: Option<&str>,
        request: &ConsumerRequest<'_>,
    ) -> Result<Outcome, ConsumerError> {
        let topics = self.topics(topic)?;
        let mut session = self.session()?;
        let mut tx = session.connection().await?.begin().await?;
        if let Some(before) = before(&mut tx, request).await? {
            return Ok(Outcome { answer: before, replayed: true });
        }
        consumers::pause(&mut tx, &topics, request.reason).await?;
        let done = Operation {
            topic,
            ..Operation::new(request.caller, Action::ConsumersPause, request.reason)
        };
        operations::record(&mut tx, done).await?;
        keep(&mut tx, request).await?;
        tx.commit().await?;
        self.control.look().await?;
        Ok(Outcome { answer: request.answer.clone(), replayed: false })
    }

    /// Ends pauses; and stops, if the request says where to go on.
    pub(crate) async fn resume(
        &self,
        scope: ResumeScope<'_>,
        request: &ConsumerRequest<'_>,
    ) -> Result<Outcome, ConsumerError> {
        let topics = self.topics(scope.topic)?;
        let mut session = self.session()?;
        // Looked for before anything moves in Kafka, because no transaction takes a move back.
        if let Some(before) = before(session.connection().await?, request).await? {
            return Ok(Outcome { answer: before, replayed: true });
        }
        self.control.look().await?;
        let halts = self.control.halts();
        let paused: Vec<String> =
            topics.iter().filter(|topic| halts.paused.contains_key(*topic)).cloned().collect();
        let moved = match scope.from {
            None => Vec::new(),
            Some(from) => {
                let moving = self.moving(scope, &halts, &paused, &topics).await?;
                self.obeyed(&halts, &moving).await;
                self.move_to(moving.clone(), from).await?;
                moving
            }
        };
        let mut tx = session.connection().await?.begin().await?;
        if let Some(before) = before(&mut tx, request).await? {
            return Ok(Outcome { answer: before, replayed: true });
        }
        if scope.from.is_none() {
            if scope.partition.is_some() && !paused.is_empty() {
                return Err(ConsumerError::PausedWhole);
            }
            if paused.is_empty() && halts.stopped.keys().any(|it| is_within(it, scope, &topics)) {
                return Err(ConsumerError::NoPlace);
            }
        }
        for partition in &moved {
            consumers::restart(&mut tx, partition).await?;
        }
        consumers::unpause(&mut tx, &paused).await?;
        if scope.topic.is_none() {
            // To resume everything is also to go on in spite of a flood of parked keys.
            bounds::lift_flood(&mut tx).await?;
        }
        let reason = match scope.from {
            None => request.reason.to_owned(),
            Some(from) => format!("{} (from {})", request.reason, place(from)),
        };
        let done = Operation {
            topic: scope.topic,
            partition: scope.partition,
            ..Operation::new(request.caller, Action::ConsumersResume, &reason)
        };
        operations::record(&mut tx, done).await?;
        keep(&mut tx, request).await?;
        tx.commit().await?;
        self.control.look().await?;
        Ok(Outcome { answer: request.answer.clone(), replayed: false })
    }

    fn topics(&self, topic: Option<&str>) -> Result<Vec<String>, ConsumerError> {
        match topic {
            None => Ok(self.hears.iter().map(|topic| (*topic).to_owned()).collect()),
            Some(topic) if self.hears.contains(&topic) => Ok(vec![topic.to_owned()]),
            Some(_) => Err(ConsumerError::UnknownTopic),
        }
    }

    /// The partitions that a resume moves: the stopped ones, and all of the paused topics.
    async fn moving(
        &self,
        scope: ResumeScope<'_>,
        halts: &Halts,
        paused: &[String],
        topics: &[String],
    ) -> Result<Vec<Partition>, ConsumerError> {
        if matches!(scope.from, Some(ResumeFrom::Offset(_))) && scope.partition.is_none() {
            return Err(ConsumerError::NoPartition);
        }
        let mut moving: Vec<Partition> =
            halts.stopped.keys().filter(|it| is_within(it, scope, topics)).cloned().collect();
        if scope.partition.is_some() {
            if !paused.is_empty() {
                return Err(ConsumerError::PausedWhole);
            }
            if moving.is_empty() {
                return Err(ConsumerError::NotStopped);
            }
        } else if !paused.is_empty() {
            let known = self.known().await;
            for topic in paused {
                let of_topic: Vec<_> = known.keys().filter(|it| it.topic == *topic).collect();
                if of_topic.is_empty() {
                    return Err(ConsumerError::Kafka(format!("it does not tell of {topic}")));
                }
                moving.extend(of_topic.into_iter().cloned());
            }
        }
        moving.sort();
        moving.dedup();
        Ok(moving)
    }

    /// Waits until every instance has had time to see the halt: one that still read a partition
    /// would commit its own offset over the one the partition is moved to.
    async fn obeyed(&self, halts: &Halts, moving: &[Partition]) {
        let youngest = moving
            .iter()
            .filter_map(|it| halts.paused.get(&it.topic).or_else(|| halts.stopped.get(it)))
            .map(|halt| halt.since)
            .max();
        let Some(youngest) = youngest else { return };
        let age = Duration::try_from(self.clock.now() - youngest).unwrap_or_default();
        tokio::time::sleep((3 * LOOK_EVERY).saturating_sub(age)).await;
    }

    /// Commits the group's offsets where the partitions go on: the members that read them next
    /// begin there.
    async fn move_to(
        &self,
        partitions: Vec<Partition>,
        from: ResumeFrom,
    ) -> Result<(), ConsumerError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let moved = self.ask(move |consumer| {
            let extents = positions::extents(consumer, &partitions);
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in &partitions {
                let Some(extent) = extents.get(partition) else {
                    return Err(ConsumerError::Kafka("it does not tell its offsets".to_owned()));
                };
                positions::add(&mut list, partition, target(*extent, from)?);
            }
            consumer
                .commit(&list, CommitMode::Sync)
                .map_err(|error| ConsumerError::Kafka(error.to_string()))
        });
        moved.await.unwrap_or_else(|| Err(ConsumerError::Kafka("it does not answer".to_owned())))
    }

    /// Asks Kafka through this instance's consumer, where blocking is allowed. `None` if there is
    /// no answer in time.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Member>) -> T + Send + 'static,
    ) -> Option<T> {
        let current = Arc::clone(&self.current);
        let asked = tokio::task::spawn_blocking(move || current.get().map(|it| question(&it)));
        tokio::time::timeout(ASK_MAX, asked).await.ok()?.ok().flatten()
    }

    /// Every partition that the service consumes, and what Kafka tells of it.
    async fn known(&self) -> HashMap<Partition, Option<Extent>> {
        let hears = self.hears;
        self.ask(move |consumer| consumed::partitions(consumer, hears)).await.unwrap_or_default()
    }
}

fn is_within(partition: &Partition, scope: ResumeScope<'_>, topics: &[String]) -> bool {
    topics.contains(&partition.topic) && scope.partition.is_none_or(|it| it == partition.number)
}

/// The offset that an operator means.
fn target(extent: Extent, from: ResumeFrom) -> Result<i64, ConsumerError> {
    let Extent { low, high, committed } = extent;
    match from {
        ResumeFrom::Here => Ok(committed.map_or(low, |next| next.clamp(low, high))),
        ResumeFrom::Beginning => Ok(low),
        ResumeFrom::Offset(offset) if (low..=high).contains(&offset) => Ok(offset),
        ResumeFrom::Offset(_) => Err(ConsumerError::OutOfRange { low, high }),
    }
}

fn place(from: ResumeFrom) -> String {
    match from {
        ResumeFrom::Here => "here".to_owned(),
        ResumeFrom::Beginning => "the beginning".to_owned(),
        ResumeFrom::Offset(offset) => format!("offset {offset}"),
    }
}

/// The stored answer, if this request was answered before.
async fn before(
    db: &mut PgConnection,
    request: &ConsumerRequest<'_>,
) -> Result<Option<Answer>, ConsumerError> {
    let Some(key) = &request.key else { return Ok(None) };
    match idempotency::known(db, &[key]).await?.into_values().next() {
        Some(kept) if kept.fingerprint != key.fingerprint => Err(ConsumerError::KeyReused),
        kept => Ok(kept.map(|kept| kept.answer)),
    }
}

async fn keep(db: &mut PgConnection, request: &ConsumerRequest<'_>) -> sqlx::Result<()> {
    let Some(key) = &request.key else { return Ok(()) };
    let is_first = idempotency::keep(db, &[(key, &request.answer)]).await?;
    // Another request with the same key was quicker: repeating this one finds its answer.
    if is_first { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_means_offsets_that_are_there() {
        let extent = |committed| Extent { low: 5, high: 9, committed };
        let here = |committed| target(extent(committed), ResumeFrom::Here).unwrap();
        assert_eq!([here(None), here(Some(2)), here(Some(7)), here(Some(20))], [5, 5, 7, 9]);
        assert_eq!(target(extent(Some(7)), ResumeFrom::Beginning).unwrap(), 5);
        assert_eq!(target(extent(None), ResumeFrom::Offset(9)).unwrap(), 9);
        for offset in [4, 10] {
            assert!(matches!(
                target(extent(None), ResumeFrom::Offset(offset)),
                Err(ConsumerError::OutOfRange { low: 5, high: 9 })
            ));
        }
    }
}
