//! From Kafka to the batch and back to the offset: at least once in, one change.
//!
//! A thread polls the consumer and hands messages over; it never waits for long without polling, so
//! a database that is away costs no membership. The loop takes whatever has accumulated, settles
//! it, and only then stores the offsets: what was not committed is delivered again, and the inbox
//! makes the second time harmless.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    types::RDKafkaRespErr,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, error::TrySendError},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Options,
    entry::{Entry, Origin},
    envelope, flood,
    message::{Message, Park},
    nearness::Nearness,
    pace::Pace,
    reactor::Reactor,
    settle::{Settled, Settler},
};

/// Messages that wait between the thread and the loop: enough to fill the next batches while one
/// commits.
const HANDED_OVER: usize = 4_000;
/// How long the thread waits for room before it pauses the partitions and polls on.
const ROOM: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);
/// Bytes of payload in one batch at most, so that a batch of large messages stays small.
const BATCH_BYTES: usize = 1_000_000;
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(10);

/// Assigns partitions: one that was never committed starts at its beginning, said so here, because
/// `auto.offset.reset=earliest` would also silently jump over what retention has removed.
struct Group(Arc<Nearness>);

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let is_assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if is_assigned {
            start_positions(consumer, partitions).and_then(|start| {
                if cooperative {
                    consumer.incremental_assign(&start)
                } else {
                    consumer.assign(&start)
                }
            })
        } else if cooperative {
            consumer.incremental_unassign(partitions)
        } else {
            consumer.unassign()
        };
        match done {
            Ok(()) => {
                self.0.joined();
                let change = if is_assigned { "assigned" } else { "revoked" };
                tracing::info!(partitions = partitions.count(), "partitions {change}");
            }
            Err(error) => tracing::error!(%error, "could not follow a change of partitions"),
        }
    }
}

fn start_positions(
    consumer: &BaseConsumer<Group>,
    partitions: &TopicPartitionList,
) -> Result<TopicPartitionList, KafkaError> {
    let mut committed = consumer.committed_offsets(partitions.clone(), COMMITTED_TIMEOUT)?;
    let fresh: Vec<(String, i32)> = committed
        .elements()
        .iter()
        .filter(|it| it.offset() == Offset::Invalid)
        .map(|it| (it.topic().to_owned(), it.partition()))
        .collect();
    for (topic, partition) in fresh {
        committed.set_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    Ok(committed)
}

/// Settings that were measured; what is not named keeps librdkafka's default.
fn client(options: &Options, near: Arc<Nearness>) -> Result<BaseConsumer<Group>, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", &options.kafka)
        .set("group.id", options.service)
        .set("client.id", options.service)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "200")
        .set("auto.offset.reset", "error")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        // The default is a second of silence when the local queue is full.
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "500")
        .set("queued.max.messages.kbytes", "16384")
        .set("check.crcs", "false")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("statistics.interval.ms", "5000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .create_with_context(Group(near))
}

/// Consumes until stopped.
pub(crate) async fn run<R: Reactor>(
    options: Options,
    mut settler: Settler<R>,
    near: Arc<Nearness>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let consumer =
        Arc::new(client(&options, Arc::clone(&near)).context("could not make a consumer")?);
    consumer.subscribe(settler.reactor.hears()).context("could not subscribe")?;
    let (hand_over, mut taken) = mpsc::channel(HANDED_OVER);
    let polling = {
        let (consumer, stop, runtime) = (Arc::clone(&consumer), stop.clone(), Handle::current());
        tokio::task::spawn_blocking(move || {
            let polling = Polling {
                consumer: &consumer,
                hand_over: &hand_over,
                stop: &stop,
                runtime: &runtime,
                topics: HashMap::new(),
            };
            polling.run(&near)
        })
    };
    let mut received = Vec::with_capacity(options.batch);
    let mut pace = Pace::new();
    flood::sit_out(&mut settler, &stop).await;
    loop {
        pace.keep().await;
        let some = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            some = taken.recv_many(&mut received, options.batch) => some,
        };
        if some == 0 {
            break;
        }
        pace.start();
        // Too many bytes for one batch: the rest is the next one.
        let mut rest = split_by_bytes(&mut received);
        let mut next = std::mem::take(&mut received);
        while !next.is_empty() {
            if !settle(&mut settler, &consumer, next, &stop).await {
                break;
            }
            next = std::mem::take(&mut rest);
            rest = split_by_bytes(&mut next);
        }
    }
    // Either a stop was asked for, or the thread has ended by itself and says why.
    drop(taken);
    polling.await.context("the polling thread panicked")?
}

/// Settles what was received and stores its offsets. `false` when asked to stop before the end.
async fn settle<R: Reactor>(
    settler: &mut Settler<R>,
    consumer: &BaseConsumer<Group>,
    received: Vec<Received>,
    stop: &CancellationToken,
) -> bool {
    let offsets = next_offsets(&received);
    let reactor = Arc::clone(&settler.reactor);
    let mut entries: Vec<Entry<R::Input>> =
        received.into_iter().filter_map(|received| entry(&*reactor, received)).collect();
    let mut settled = Settled::default();
    if !entries.is_empty() {
        settled = settler.settle(&mut entries, stop).await;
        if settled.stopped {
            return false;
        }
    }
    // A partition that was taken away meanwhile is somebody else's now: not an error.
    if let Err(error) = consumer.store_offsets(&offsets) {
        tracing::debug!(%error, "offsets of partitions that moved away were not stored");
    }
    if settled.set_aside > 0 {
        flood::sit_out(settler, stop).await;
    }
    true
}

type Received = (Message, Option<Park>);

/// What a message means here; `None` when nobody here cares.
pub(crate) fn entry<R: Reactor>(reactor: &R, (message, flaw): Received) -> Option<Entry<R::Input>> {
    if flaw.is_none() && !reactor.is_known(&message.event_type) {
        let trace = message.trace;
        // Without an id it could not be told from others like it, and would not be kept.
        let flaw = Park::no_envelope(&[(message.event_id.is_nil(), "ce_id")]);
        let origin = Origin::Message(message);
        return Some(Entry { id: None, input: None, trace, flaw, origin });
    }
    let read = match flaw {
        Some(flaw) => Err(flaw),
        None => reactor.read(&message),
    };
    let id = Some(message.event_id).filter(|id| !id.is_nil());
    let trace = message.trace;
    let (id, input, flaw) = match read {
        Ok(None) => return None,
        Ok(Some(reading)) => (id.filter(|_| reading.once), Some(reading.input), None),
        Err(flaw) => (id, None, Some(flaw)),
    };
    Some(Entry { id, input, trace, flaw, origin: Origin::Message(message) })
}

fn split_by_bytes(received: &mut Vec<Received>) -> Vec<Received> {
    let mut bytes = 0;
    let fits = received.iter().position(|(message, _)| {
        bytes += message.size();
        bytes > BATCH_BYTES
    });
    match fits {
        Some(first_beyond) => received.split_off(first_beyond.max(1)),
        None => Vec::new(),
    }
}

fn next_offsets(received: &[Received]) -> TopicPartitionList {
    let mut next: HashMap<(&str, i32), i64> = HashMap::new();
    for (message, _) in received {
        next.insert((&message.topic, message.partition), message.offset + 1);
    }
    let mut list = TopicPartitionList::with_capacity(next.len());
    for ((topic, partition), offset) in next {
        // An offset of a message that exists is never out of range.
        let _added = list.add_partition_offset(topic, partition, Offset::Offset(offset));
    }
    list
}

/// The polling thread's side of the hand-over.
struct Polling<'a> {
    consumer: &'a BaseConsumer<Group>,
    hand_over: &'a mpsc::Sender<Received>,
    stop: &'a CancellationToken,
    runtime: &'a Handle,
    /// Names of topics, so that messages share them.
    topics: HashMap<String, Arc<str>>,
}

impl Polling<'_> {
    /// Polls, hands over, and pauses what nobody takes.
    fn run(mut self, near: &Nearness) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            let Some(polled) = self.consumer.poll(POLL) else { continue };
            let raw = match polled {
                Ok(raw) => raw,
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                    bail!(
                        "messages this service had not read are gone from Kafka, or its offsets are beyond the end"
                    )
                }
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    bail!("the consumer is dead: {code}")
                }
                Err(error) => {
                    tracing::debug!(%error, "nothing from Kafka");
                    continue;
                }
            };
            near.found();
            let message = self.open(&raw);
            drop(raw);
            if !self.give(message)? {
                break;
            }
        }
        Ok(())
    }

    fn open(&mut self, raw: &BorrowedMessage<'_>) -> Received {
        if let Some(known) = self.topics.get(raw.topic()) {
            return envelope::open(raw, Arc::clone(known));
        }
        let topic: Arc<str> = Arc::from(raw.topic());
        self.topics.insert(raw.topic().to_owned(), Arc::clone(&topic));
        envelope::open(raw, topic)
    }

    /// Hands one message over. While nobody takes it the partitions are paused and polling goes on.
    /// `false` to stop.
    fn give(&mut self, message: Received) -> anyhow::Result<bool> {
        let message = match self.hand_over.try_send(message) {
            Ok(()) => return Ok(true),
            Err(TrySendError::Closed(_)) => return Ok(false),
            Err(TrySendError::Full(message)) => message,
        };
        let mut waiting = VecDeque::from([message]);
        let mut paused: Option<TopicPartitionList> = None;
        while !self.stop.is_cancelled() {
            let room = self.runtime.block_on(async {
                tokio::select! {
                    () = self.stop.cancelled() => None,
                    room = tokio::time::timeout(ROOM, self.hand_over.reserve()) => Some(room),
                }
            });
            match room {
                None | Some(Ok(Err(_))) => return Ok(false),
                Some(Ok(Ok(permit))) => {
                    if let Some(message) = waiting.pop_front() {
                        permit.send(message);
                    }
                    if waiting.is_empty() {
                        if let Some(partitions) = paused {
                            self.consumer
                                .resume(&partitions)
                                .context("could not resume partitions")?;
                        }
                        return Ok(true);
                    }
                }
                Some(Err(_full)) => {
                    let partitions =
                        self.consumer.assignment().context("could not tell what is assigned")?;
                    self.consumer.pause(&partitions).context("could not pause partitions")?;
                    paused = Some(partitions);
                    // What was fetched before the pause may still come; it queues behind.
                    if let Some(Ok(raw)) = self.consumer.poll(Duration::ZERO) {
                        waiting.push_back(self.open(&raw));
                    }
                }
            }
        }
        Ok(false)
    }
}
