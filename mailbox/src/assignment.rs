//! What this member of the group reads: the partitions that the group gave it, less those that are
//! paused or stopped, each from a position that was looked up.
//!
//! The group's protocol is eager: a rebalance takes all partitions away and gives all anew. Every
//! other change (a pause, a stop, a resume, a doubt about a topic) assigns anew in the same way, so
//! there is one way to begin to read. Each assignment counts as a new generation: messages that
//! were read in an older one and are not settled yet are dropped, because they are read again.
//!
//! A rebalance callback that calls neither assign nor unassign leaves the client waiting for ever.
//! So this one always calls one of them: a partition whose position Kafka could not tell in time is
//! not assigned yet, and `polling` asks for it again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock,
    broker_status::BrokerStatus,
    consumers::{AppliedMessage, Partition},
    control::Control,
    positions::{self, Start},
    watchdog::{Observation, Progress},
};

/// librdkafka's context of this client: it follows the group's rebalances.
pub(crate) struct Member {
    pub(crate) near: Arc<BrokerStatus>,
    pub(crate) control: Arc<Control>,
    /// The compacted topics, which may be read from whatever offset they begin at.
    pub(crate) compacted: &'static [&'static str],
    pub(crate) clock: Clock,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
    generation: AtomicU64,
    given: Mutex<GroupAssignment>,
    /// Partitions that were left out of some earlier assignment because they were halted, in any
    /// generation.
    halted: Mutex<BTreeSet<Partition>>,
    reports: AtomicU64,
}

#[derive(Default)]
struct GroupAssignment {
    /// Whether the group has given this member its partitions, be they none.
    is_member: bool,
    partitions: BTreeSet<Partition>,
    /// Partitions whose position Kafka could not tell yet.
    unknown: BTreeSet<Partition>,
    /// What is to be compared and skipped at the beginning of each partition.
    checks: HashMap<Partition, StartCheck>,
    /// The client's last statistics of each partition.
    progress: HashMap<Partition, ClientReport>,
    /// Whether a topic may not be what it was, so that positions have to be looked up again.
    is_doubtful: bool,
}

#[derive(Clone, Copy)]
struct ClientReport {
    progress: Progress,
    high: i64,
}

/// Where the partitions of a new assignment begin.
#[derive(Default)]
struct StartPlan {
    begin: TopicPartitionList,
    /// The partitions that were halted before, with their next offset, which is to be committed.
    resumed: TopicPartitionList,
    checks: HashMap<Partition, StartCheck>,
    unknown: BTreeSet<Partition>,
}

/// The consumer in use, for operators' questions. A weak reference, because whoever drops the last
/// strong one closes the client, which takes a while.
#[derive(Default)]
pub(crate) struct CurrentConsumer(Mutex<Weak<BaseConsumer<Member>>>);

impl CurrentConsumer {
    pub(crate) fn set(&self, consumer: &Arc<BaseConsumer<Member>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(consumer);
    }

    /// The consumer, if there is one. Drop it only where blocking is allowed: the last owner closes
    /// the client.
    pub(crate) fn get(&self) -> Option<Arc<BaseConsumer<Member>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

/// What is checked before the messages of a partition are handed over: messages before `next` are
/// dropped, and the message at the offset of `known` must be `known` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartCheck {
    /// The next offset to apply; the messages before it were applied.
    pub(crate) next: i64,
    pub(crate) known: Option<AppliedMessage>,
}

impl Member {
    pub(crate) fn new(
        near: Arc<BrokerStatus>,
        control: Arc<Control>,
        compacted: &'static [&'static str],
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        Self {
            near,
            control,
            compacted,
            clock,
            runtime: Handle::current(),
            stop,
            generation: AtomicU64::new(0),
            given: Mutex::default(),
            halted: Mutex::default(),
            reports: AtomicU64::new(0),
        }
    }

    /// The number of the present generation; each assignment and each revocation raises it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What to check before messages of this generation are handed over.
    pub(crate) fn checks(&self) -> HashMap<Partition, StartCheck> {
        self.given().checks.clone()
    }

    /// Whether positions of partitions are still to be asked for.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.given().unknown.is_empty()
    }

    /// Notes a doubt: a topic may not be what it was.
    pub(crate) fn doubt(&self) {
        self.given().is_doubtful = true;
    }

    /// Whether there was a doubt; clears it.
    pub(crate) fn take_doubt(&self) -> bool {
        std::mem::take(&mut self.given().is_doubtful)
    }

    /// Stops a partition for all instances.
    pub(crate) fn halt(&self, partition: Partition, reason: &str) {
        self.control.stop(partition, reason, self.clock.now());
    }

    /// What the watchdog looks at, as far as it is known here; the caller adds whether anything
    /// waits.
    pub(crate) fn sight(&self) -> Observation {
        let halts = self.control.halts();
        let given = self.given();
        let partitions =
            given.partitions.iter().filter(|it| !halts.contains(it)).filter_map(|it| {
                let reported = given.progress.get(it)?;
                Some((it.clone(), reported.progress))
            });
        Observation {
            is_near: self.near.is_near(),
            is_idle: true,
            reports: self.reports.load(Ordering::Relaxed),
            is_settled: given.is_member && given.unknown.is_empty(),
            partitions: partitions.collect(),
        }
    }

    /// Reads the given partitions that are not halted, each from where it was left.
    pub(crate) fn assign(&self, consumer: &BaseConsumer<Self>) -> Result<(), KafkaError> {
        let halts = self.control.halts();
        let (halted, wanted): (Vec<_>, Vec<_>) =
            self.given().partitions.iter().cloned().partition(|it| halts.contains(it));
        self.control.forget(&halted);
        let plan = self.plan(consumer, wanted);
        let (waiting, halted_now) = (plan.unknown.len(), halted.len());
        self.was_halted().extend(halted);
        let is_repeated = {
            let mut given = self.given();
            let is_repeated = waiting > 0 && given.unknown == plan.unknown;
            (given.checks, given.unknown) = (plan.checks, plan.unknown);
            given.progress.clear();
            is_repeated
        };
        self.generation.fetch_add(1, Ordering::AcqRel);
        consumer.assign(&plan.begin)?;
        // A pause of the client's partitions, as of `polling`, would outlive their assignment.
        consumer.resume(&plan.begin)?;
        if plan.resumed.count() > 0 {
            // An operator may have moved a halted partition back, and the client commits no offset
            // below one that it has committed itself: so the new position is committed here.
            consumer.commit(&plan.resumed, CommitMode::Async)?;
        }
        let reading = plan.begin.count();
        // Positions that Kafka does not tell are asked for each second.
        if !is_repeated {
            tracing::info!(reading, halted = halted_now, waiting, "partitions assigned");
        }
        Ok(())
    }

    /// Where the partitions begin, as far as Kafka tells their positions now.
    fn plan(&self, consumer: &BaseConsumer<Self>, wanted: Vec<Partition>) -> StartPlan {
        let mut plan = StartPlan::default();
        if wanted.is_empty() || self.stop.is_cancelled() {
            return plan;
        }
        self.runtime.block_on(self.control.recall());
        let extents = positions::extents(consumer, &wanted);
        let mut was_halted = self.was_halted();
        for partition in wanted {
            let Some(extent) = extents.get(&partition) else {
                plan.unknown.insert(partition);
                continue;
            };
            let compacted = self.compacted.contains(&partition.topic.as_str());
            match positions::start(*extent, self.control.applied(&partition), compacted) {
                Start::At { from, next, known } => {
                    positions::add(&mut plan.begin, &partition, from);
                    if was_halted.remove(&partition) {
                        positions::add(&mut plan.resumed, &partition, next);
                    }
                    if known.is_some() {
                        plan.checks.insert(partition, StartCheck { next, known });
                    }
                }
                Start::Stop(reason) => self.halt(partition, &reason),
            }
        }
        plan
    }

    fn was_halted(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given(&self) -> MutexGuard<'_, GroupAssignment> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, partitions: &TopicPartitionList) {
        let partitions = partitions
            .elements()
            .iter()
            .map(|it| Partition { topic: it.topic().to_owned(), number: it.partition() })
            .collect();
        *self.given() =
            GroupAssignment { is_member: true, partitions, ..GroupAssignment::default() };
        self.near.joined();
    }

    fn let_go(&self, consumer: &BaseConsumer<Self>) -> Result<(), KafkaError> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        *self.given() = GroupAssignment::default();
        let paused = consumer.assignment().and_then(|all| consumer.resume(&all));
        let gone = consumer.unassign();
        tracing::info!("partitions revoked");
        paused.and(gone)
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.near.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.near.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        let mut given = self.given();
        for topic in statistics.topics.values() {
            for it in topic.partitions.values() {
                let partition = Partition { topic: topic.topic.clone(), number: it.partition };
                if !given.partitions.contains(&partition) {
                    continue;
                }
                let progress = Progress { position: it.app_offset, lag: it.consumer_lag };
                let reported = ClientReport { progress, high: it.hi_offset };
                let before = given.progress.insert(partition, reported);
                // A topic's end that moves back: the topic was made anew, or was truncated.
                given.is_doubtful |=
                    it.hi_offset >= 0 && before.is_some_and(|before| before.high > it.hi_offset);
            }
        }
        drop(given);
        self.near.stats(statistics);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.take_over(partitions);
            self.assign(consumer)
        } else {
            self.let_go(consumer)
        };
        if let Err(error) = done {
            // Assigning and unassigning fail only in a client that is about to end.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not follow a change of partitions"
            );
            self.doubt();
        }
    }
}
