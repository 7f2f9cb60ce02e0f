//! The loop from Kafka to the batch and back to the offset: at least once in, one change.
//!
//! A thread polls the consumer (`polling`) and hands messages over. The loop takes whatever has
//! accumulated, settles it, and only then stores the offsets: messages whose batch was not
//! committed are delivered again, and the inbox makes the second delivery harmless.
//!
//! A consumer that stalls or dies is replaced in place, and the process goes on: HTTP and commands
//! need no Kafka. The process ends only when another process consumes under this instance's name,
//! or when the old consumer cannot be closed: then only the end of the process is sure to free its
//! membership.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Options,
    assignment::{CurrentConsumer, Member},
    broker_status::BrokerStatus,
    consumers::{AppliedMessage, Partition},
    control::Control,
    flood, held,
    item::{Item, item},
    metrics,
    pace::{Pace, linger},
    polling::{self, Delivery, Poller, PollingEnd},
    positions,
    reactor::Reactor,
    settle::Settler,
    watchdog::Watchdog,
};

/// Bytes of messages in one batch at most, so that a batch of large messages stays small.
const BATCH_BYTES: usize = 1_000_000;
/// How often the watchdog looks, and how often the client sends it statistics.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Limit of closing a consumer: one that takes longer is stuck.
const CLOSE_MAX: Duration = Duration::from_secs(30);
/// Pause before a consumer is replaced: doubled each time, because the next one may end at once,
/// too.
const RENEW_MIN: Duration = Duration::from_secs(1);
const RENEW_MAX: Duration = Duration::from_secs(30);

/// The client's settings, which were measured; all others keep librdkafka's defaults.
fn client(options: &Options, member: Member) -> Result<BaseConsumer<Member>, KafkaError> {
    let mut config = options.kafka.clone();
    if !options.instance.is_empty() {
        // A member's name allows the characters of a topic's name only.
        config.set("group.instance.id", options.instance.replace(':', "-"));
    }
    config
        .set("group.id", options.service)
        .set("client.id", options.service)
        .set("group.protocol", "classic")
        // Range assignment gives one instance the same partition of all topics, and so all messages
        // of an order.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        // A member that is alive and does not follow a rebalance holds it up for this long.
        .set("max.poll.interval.ms", "60000")
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "200")
        // `positions` decides where to begin: an automatic reset would skip messages that are gone.
        .set("auto.offset.reset", "error")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        // By default the client fetches nothing for a second once its local queue is full.
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "500")
        .set("queued.max.messages.kbytes", "16384")
        .set("check.crcs", "false")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("statistics.interval.ms", WATCH_EVERY.as_millis().to_string())
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .create_with_context(member)
}

/// What the loop shares with operators and with the health check.
#[derive(Clone)]
pub(crate) struct ConsumerShared {
    pub(crate) broker: Arc<BrokerStatus>,
    pub(crate) control: Arc<Control>,
    pub(crate) current: Arc<CurrentConsumer>,
}

/// Consumes until stopped. Fails if another process has this instance's name, or the consumer
/// cannot be closed.
pub(crate) async fn run<R: Reactor>(
    options: Options,
    mut settler: Settler<R>,
    shared: ConsumerShared,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut pause = RENEW_MIN;
    loop {
        let started = Instant::now();
        let consuming = ConsumerRun::start(&options, &settler, &shared, &stop)?;
        let why = match consuming.run(&options, &mut settler, &stop).await? {
            PollingEnd::Stopped => return Ok(()),
            PollingEnd::Fenced(reason) => {
                bail!("another process consumes as {}: {reason}", options.instance)
            }
            PollingEnd::Dead(why) => why,
        };
        metrics::consumer_renewed();
        if started.elapsed() > RENEW_MAX {
            pause = RENEW_MIN;
        }
        tracing::warn!(reason = why, ?pause, "consuming stands still and begins anew");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RENEW_MAX),
        }
    }
}

type Client = Arc<BaseConsumer<Member>>;

/// One consumer, from its making to its closing.
struct ConsumerRun {
    consumer: Client,
    taken: mpsc::UnboundedReceiver<Delivery>,
    room: Arc<Semaphore>,
    polling: JoinHandle<(Client, PollingEnd)>,
    /// Ends the polling thread of this consumer alone.
    ending: CancellationToken,
}

impl ConsumerRun {
    fn start<R: Reactor>(
        options: &Options,
        settler: &Settler<R>,
        shared: &ConsumerShared,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let ending = stop.child_token();
        let member = Member::new(
            Arc::clone(&shared.broker),
            Arc::clone(&shared.control),
            settler.reactor.compacted(),
            options.clock,
            ending.clone(),
        );
        let consumer = Arc::new(client(options, member).context("could not make a consumer")?);
        consumer.subscribe(settler.reactor.hears()).context("could not subscribe")?;
        shared.current.set(&consumer);
        let (hand_over, taken) = mpsc::unbounded_channel();
        let room = polling::room();
        let thread = Poller::new(Arc::clone(&consumer), hand_over, Arc::clone(&room));
        let polling = tokio::task::spawn_blocking(move || thread.run());
        Ok(Self { consumer, taken, room, polling, ending })
    }

    /// Settles messages until stopped, or until the consumer ends or stalls; then closes it.
    async fn run<R: Reactor>(
        mut self,
        options: &Options,
        settler: &mut Settler<R>,
        stop: &CancellationToken,
    ) -> anyhow::Result<PollingEnd> {
        let stalled = self.attend(options, settler, stop).await;
        self.ending.cancel();
        drop(self.taken);
        let ended = tokio::time::timeout(CLOSE_MAX, async {
            let (thread_s, end) = self.polling.await.context("the polling thread panicked")?;
            let consumer = self.consumer;
            // Dropping the last reference closes the client, which blocks for a while.
            tokio::task::spawn_blocking(move || drop((thread_s, consumer)))
                .await
                .context("closing the consumer panicked")?;
            anyhow::Ok(end)
        });
        let end = ended.await.context("the consumer cannot be closed")??;
        Ok(match (end, stalled) {
            (PollingEnd::Stopped, Some(why)) => PollingEnd::Dead(why),
            (end, _) => end,
        })
    }

    /// Settles batch after batch. Returns what has stalled, if the watchdog ended it.
    async fn attend<R: Reactor>(
        &mut self,
        options: &Options,
        settler: &mut Settler<R>,
        stop: &CancellationToken,
    ) -> Option<String> {
        // While a flood of parked keys lasts, this instance stays in its group: the flood is in the
        // service's database, so another member would do no better.
        flood::sit_out(settler, stop).await;
        let mut received = Vec::with_capacity(options.batch);
        let mut pace = Pace::new();
        let mut watchdog = Watchdog::default();
        let mut watching = tokio::time::interval(WATCH_EVERY);
        let mut generation = None;
        loop {
            pace.keep().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                _ = watching.tick() => {
                    let mut sight = self.consumer.context().sight();
                    sight.is_idle &= polling::is_empty(&self.room) && settler.held.is_empty();
                    match watchdog.look(Instant::now(), &sight) {
                        Some(stalled) => return Some(stalled),
                        None => continue,
                    }
                }
                some = self.taken.recv_many(&mut received, options.batch),
                    if !settler.held.is_full() =>
                {
                    if some == 0 {
                        return None;
                    }
                }
                () = settler.held.due() => {}
            }
            let reactor = Arc::clone(&settler.reactor);
            let may_linger = |it: &Delivery| reactor.may_linger(&it.received.0.event_type);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = settler.held.due() => {}
                () = linger(&mut self.taken, &mut received, options.batch, may_linger) => {}
            }
            pace.start();
            let present = self.consumer.context().generation();
            if generation.replace(present) != Some(present) {
                // Messages that wait for a held row were read before the rebalance: the member that
                // has their partition now reads them again.
                settler.held.revoke(|_, _| true, settler.clock.now());
            }
            // If these are too many bytes for one batch, the rest goes into the next.
            let mut rest = split_by_bytes(&mut received);
            let mut next = std::mem::take(&mut received);
            loop {
                let settled = settle(settler, &self.consumer, next, stop).await;
                if settled.is_break() || rest.is_empty() {
                    break;
                }
                next = std::mem::take(&mut rest);
                rest = split_by_bytes(&mut next);
            }
        }
    }
}

/// Settles messages and stores their offsets; breaks when asked to stop before the end.
async fn settle<R: Reactor>(
    settler: &mut Settler<R>,
    consumer: &BaseConsumer<Member>,
    mut received: Vec<Delivery>,
    stop: &CancellationToken,
) -> ControlFlow<()> {
    let member = consumer.context();
    let generation = member.generation();
    // A rebalance took their partitions since: the member that has those now reads them again.
    received.retain(|delivery| delivery.generation == generation);
    let now = settler.clock.now();
    for Delivery { received: (message, _), .. } in &received {
        metrics::received(message, now);
    }
    let ends = ends(&received);
    let reactor = Arc::clone(&settler.reactor);
    let items: Vec<Item<R::Input>> =
        received.into_iter().filter_map(|delivery| item(&*reactor, delivery.received)).collect();
    let settled = settler.settle(items, stop).await;
    if settled.stopped {
        return ControlFlow::Break(());
    }
    if member.generation() == generation {
        store(settler, consumer, &ends);
    }
    if settled.set_aside > 0 {
        flood::sit_out(settler, stop).await;
    }
    ControlFlow::Continue(())
}

/// The last message of a batch in each partition.
type Ends = HashMap<held::Partition, AppliedMessage>;

fn ends(received: &[Delivery]) -> Ends {
    let end = |Delivery { received: (message, _), .. }: &Delivery| {
        let applied = AppliedMessage { offset: message.offset, event_id: message.event_id };
        ((Arc::clone(&message.topic), message.partition), applied)
    };
    received.iter().map(end).collect()
}

fn store<R: Reactor>(settler: &mut Settler<R>, consumer: &BaseConsumer<Member>, ends: &Ends) {
    let partition =
        |(topic, number): &held::Partition| Partition { topic: topic.to_string(), number: *number };
    let reached = ends.iter().map(|(at, last)| (at.clone(), last.offset + 1)).collect();
    let storable = settler.held.storable(reached);
    let mut list = TopicPartitionList::with_capacity(storable.len());
    for (at, next) in &storable {
        positions::add(&mut list, &partition(at), *next);
    }
    // A partition that was revoked meanwhile is another member's now: not an error.
    if let Err(error) = consumer.store_offsets(&list) {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "offsets of partitions that moved away were not stored"
        );
    }
    // A message that waits for a held row is not applied, and one without an id cannot be compared
    // with another later.
    let applied = ends.iter().filter(|(at, last)| {
        !last.event_id.is_nil() && storable.get(*at) == Some(&(last.offset + 1))
    });
    consumer.context().control.note(applied.map(|(at, last)| (partition(at), *last)).collect());
}

fn split_by_bytes(received: &mut Vec<Delivery>) -> Vec<Delivery> {
    let mut bytes = 0;
    let fits = received.iter().position(|Delivery { received: (message, _), .. }| {
        bytes += message.size();
        bytes > BATCH_BYTES
    });
    match fits {
        Some(first_beyond) => received.split_off(first_beyond.max(1)),
        None => Vec::new(),
    }
}
