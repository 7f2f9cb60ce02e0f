//! Transactional outbox and inbox: the delivery guarantee, once for all services.
//!
//! A service implements [`Reactor`]; [`Mailbox`] owns the transaction around it. Messages from
//! Kafka and commands from HTTP, sweeps and providers' answers take one path: in batches, each
//! batch one transaction, admitted by id, decided in order, saved with one statement per table, its
//! events appended to the outbox. At least once in, one change, at least once out.
//!
//! Reading order: `reactor` (what a service implements), `item`, `batch` and `decide` (one
//! transaction), `fault` and `settle` (what happens when it fails), `held` (items that wait for a
//! held row), `consume` and `commands` (the two ways in; `pace` sets the time between batches,
//! `broker_status` says whether Kafka is reachable; `polling`, `assignment`, `positions`,
//! `watchdog` and `control` belong to the consumer, `consumers` is the SQL of its tables),
//! `consumed` and `halts` (what is not consumed, and how operators change that), `parked`, `operate`
//! and `bulk` (parked keys; `flood` stops consuming when they are too many), `unknown` and `catch_up`
//! (events of unknown types), `lanes` and `replays` (what operators ask of the relay), `sweep`.

mod assignment;
mod batch;
mod broker_status;
mod bulk;
mod bulk_keys;
mod catch_up;
mod clock;
mod command;
mod commands;
mod consume;
mod consumed;
mod consumers;
mod control;
mod decide;
mod envelope;
mod fault;
mod flood;
mod halts;
mod held;
mod idempotency;
mod idempotent;
mod inbox;
mod inspect;
mod item;
mod lanes;
mod log;
mod message;
mod message_key;
mod metrics;
mod notices;
mod operate;
mod operations;
mod outbox;
mod pace;
mod parked;
mod polling;
mod positions;
mod reactor;
mod replays;
mod session;
mod settle;
mod spans;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tracked;
mod unknown;
mod wake;
mod watchdog;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures::future::BoxFuture;
use rdkafka::ClientConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    assignment::CurrentConsumer,
    broker_status::BrokerStatus,
    bulk::BulkWorker,
    commands::Commands,
    consume::ConsumerShared,
    control::Control,
    halts::HaltDesk,
    held::{HeldBack, HeldRows},
    notices::Notices,
    operate::{Asker, Operators},
    session::Session,
    settle::Settler,
    sweep::Sweep,
    wake::Wake,
};

pub use bulk::{BulkAction, BulkOperation, BulkRequest};
pub use bulk_keys::{BULK_KEYS_MAX, BulkFilter, BulkKey, BulkSize, KeyOutcome};
pub use clock::Clock;
pub use command::{Command, CommandError, IdempotencyKey, Outcome};
pub use consumed::{ConsumedPartition, ConsumerState};
pub use fault::LockPolicy;
pub use halts::{ConsumerError, ConsumerRequest, ResumeFrom, ResumeScope};
pub use held::HeldSince;
pub use idempotency::{await_writers, erase_answers};
pub use idempotent::OperatorRequest;
pub use inbox::made_at;
pub use inspect::UNKNOWN_EVENT;
pub use lanes::{Lane, LaneChange, LaneStart, LaneState, take_topic, topic_made_anew};
pub use message::{Message, Park, Trace};
pub use message_key::key_text;
pub use metrics::describe_metrics;
pub use notices::UnknownEvents;
pub use operate::{IdempotentRequest, OperatorError};
pub use operations::OperationRecord;
pub use outbox::backlog;
pub use parked::{
    Replacement,
    list::{
        PAYLOAD_SHOWN_MAX, ParkedKey, ParkedMessage, ParkedPlace, ParkedQuery, parked_after,
        parked_among,
    },
};
pub use reactor::{
    Answer, DecisionContext, DecodedMessage, Effects, HeldRow, OutboxEvent, Reactor,
};
pub use replays::{Replay, ReplayScope, ReplaySize};
pub use sweep::WeeklyTable;
pub use tracked::{Tracked, changed_rows, new_rows};

/// What [`Mailbox::open`] needs: the addresses of the database and of the broker, the names of the
/// service and its instance, and the limits.
#[derive(Clone, Debug)]
pub struct Options {
    pub database_url: String,
    /// How Kafka is reached: its bootstrap servers, and what they ask of a client.
    pub kafka: ClientConfig,
    /// Name of the service; also its consumer group and its Kafka client id.
    pub service: &'static str,
    /// Name of this instance, unique among the instances of its service, or empty. A named instance
    /// is a static member of its consumer group: restarted under the same name, it gets its
    /// partitions back at once.
    pub instance: String,
    /// The `ce_source` of this service's events, such as `/shop/order-svc`.
    pub source: &'static str,
    /// Every event type that may be appended to the outbox: number, topic, name (`OrderPlaced`).
    pub event_types: Vec<(i16, &'static str, &'static str)>,
    /// Tables besides the inbox that are partitioned by weeks of a UUIDv7: the sweep makes their
    /// partitions for the coming weeks, and drops those that are too old.
    pub weekly: &'static [WeeklyTable],
    /// The one clock of the process.
    pub clock: Clock,
    /// Messages, or commands, in one batch at most; a batch is one transaction.
    pub batch: usize,
    /// How long a command may wait for its commit, from [`Mailbox::submit`] on.
    pub command_deadline: Duration,
}

/// The services' batch size: five hundred messages in a batch give 98 % of the throughput of larger
/// ones, at 8 ms a batch.
pub const BATCH: usize = 500;
/// The services' deadline for a command: a client that waits longer has gone away.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// A loop that the service spawns; it ends when its token is cancelled.
pub struct Loop {
    pub name: &'static str,
    pub run: Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
    /// Whether this loop is asked to end after all others, when no HTTP request is under way any
    /// more: then what was accepted over HTTP is still committed, and the relay is woken for it.
    pub ends_last: bool,
}

impl Loop {
    fn new<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { name, run: Box::new(|stop| Box::pin(run(stop))), ends_last: false }
    }

    fn last(self) -> Self {
        Self { ends_last: true, ..self }
    }
}

/// A service's handle on its mailbox: commands go in, operators ask and steer. Cheap to clone.
pub struct Mailbox<R: Reactor> {
    commands: Commands<R::Input>,
    operators: Arc<Operators<R>>,
    kafka: Arc<BrokerStatus>,
    notices: Arc<Notices>,
    held: HeldRows,
    halts: Arc<HaltDesk>,
    clock: Clock,
}

impl<R: Reactor> Clone for Mailbox<R> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            operators: Arc::clone(&self.operators),
            kafka: Arc::clone(&self.kafka),
            notices: Arc::clone(&self.notices),
            held: self.held.clone(),
            halts: Arc::clone(&self.halts),
            clock: self.clock,
        }
    }
}

impl<R: Reactor> Mailbox<R> {
    /// Registers the event source and the event types in the database, then returns the mailbox and
    /// its loops, which the service spawns: commands, messages, consumers, sweep, bulk, wake-up. The
    /// migrations must have run before.
    pub async fn open(options: Options, reactor: Arc<R>) -> anyhow::Result<(Self, Vec<Loop>)> {
        let session = |what: &str| {
            Session::new(&options.database_url, &format!("{} {what}", options.service))
                .context("the database's address cannot be read")
        };
        let mut first = session("start")?;
        outbox::register(first.connection().await?, options.source, &options.event_types).await?;
        first.close().await;
        let control = Arc::new(Control::open(session("consumers")?, &options.instance).await?);

        let (wake, held, clock) = (Wake::default(), HeldRows::default(), options.clock);
        let notices = Arc::new(Notices::default());
        let weekly = [&[WeeklyTable::INBOX], options.weekly].concat();
        let settler = |path: &'static str| {
            anyhow::Ok(Settler {
                reactor: Arc::clone(&reactor),
                session: session(path)?,
                wake: wake.clone(),
                clock: options.clock,
                weekly: weekly.clone(),
                notices: Arc::clone(&notices),
                path,
                held: HeldBack::new(path, held.clone()),
                meets_duplicates: false,
            })
        };
        let (commands, taken) = Commands::new(options.command_deadline, clock);
        let (messages, requests) = (settler(metrics::MESSAGES)?, settler(metrics::COMMANDS)?);
        let waking = session("wake-up")?;
        let sweep = Sweep {
            reactor: Arc::clone(&reactor),
            session: session("sweep")?,
            wake: wake.clone(),
            clock: options.clock,
            weekly,
            notices: Arc::clone(&notices),
        };
        let operators = Arc::new(Operators {
            reactor: Arc::clone(&reactor),
            database_url: options.database_url.clone(),
            service: options.service,
            wake: wake.clone(),
            clock: options.clock,
            bulk_begun: Notify::new(),
        });
        let bulk = BulkWorker(Arc::clone(&operators));
        let current: Arc<CurrentConsumer> = Arc::default();
        let halts = Arc::new(HaltDesk {
            control: Arc::clone(&control),
            current: Arc::clone(&current),
            database_url: options.database_url.clone(),
            service: options.service,
            hears: reactor.hears(),
            clock: options.clock,
        });
        let (limit, kafka) = (options.batch, Arc::new(BrokerStatus::default()));
        let shared = ConsumerShared {
            broker: Arc::clone(&kafka),
            control: Arc::clone(&control),
            current: Arc::clone(&current),
        };
        let loops = vec![
            Loop::new("commands", move |stop| commands::run(requests, taken, limit, stop)).last(),
            Loop::new("messages", move |stop| consume::run(options, messages, shared, stop)),
            Loop::new("consumers", move |stop| async move { control.run(stop).await }),
            Loop::new("sweep", move |stop| sweep.run(stop)),
            Loop::new("bulk", move |stop| bulk.run(stop)),
            Loop::new("wake-up", move |stop| wake.run(waking, stop)).last(),
        ];
        Ok((Self { commands, operators, kafka, notices, held, halts, clock }, loops))
    }

    /// Hands a command over and waits for its commit. Dropping the future does not cancel the
    /// command.
    pub async fn submit(&self, command: Command<R::Input>) -> Result<Outcome, CommandError> {
        self.commands.submit(command).await
    }

    /// Why no broker answers; `None` while one does. Without one, commands are taken and events wait
    /// in the outbox.
    pub fn kafka_fault(&self) -> Option<String> {
        self.kafka.fault()
    }

    /// Whether messages are consumed, or will be as soon as Kafka is reachable again. `false` only
    /// at the start, while a broker answers and the group has not given this instance any
    /// partitions yet.
    pub fn has_joined(&self) -> bool {
        self.kafka.has_joined()
    }

    /// Why nothing is consumed although Kafka is reachable: too many messages are parked (`flood`).
    /// `None` while consuming goes on.
    pub fn flood(&self) -> Option<String> {
        self.notices.flood()
    }

    /// The rows that other sessions hold locked and that messages or commands here wait for, the
    /// longest held first; rows held for less than a second are left out.
    pub fn held_rows(&self) -> Vec<HeldSince> {
        self.held.list(self.clock.now())
    }

    /// Which topics are paused and which partitions have stopped, and why, in one line; `None` if
    /// everything is consumed.
    pub fn not_consumed(&self) -> Option<String> {
        self.halts.told()
    }

    /// Every partition of the topics that this service consumes, with its state and lag.
    pub async fn consumers(&self) -> sqlx::Result<Vec<ConsumedPartition>> {
        self.halts.list().await
    }

    /// Pauses one topic, or all of them with `None`, for all instances of the service.
    pub async fn pause(
        &self,
        topic: Option<&str>,
        request: &ConsumerRequest<'_>,
    ) -> Result<Outcome, ConsumerError> {
        self.halts.pause(topic, request).await
    }

    /// Ends pauses; with `scope.from` it also restarts stopped partitions, from there.
    pub async fn resume(
        &self,
        scope: ResumeScope<'_>,
        request: &ConsumerRequest<'_>,
    ) -> Result<Outcome, ConsumerError> {
        self.halts.resume(scope, request).await
    }

    /// How many events are kept because this build does not know their types, and since when;
    /// `None` if there are none.
    pub fn unknown_events(&self) -> Option<UnknownEvents> {
        self.notices.unknown()
    }

    /// Processes a parked key's messages in order, under their own event ids; returns how many.
    /// Dropping the future leaves the chunks that were committed released.
    pub async fn release(
        &self,
        topic: &str,
        key: &str,
        asked: IdempotentRequest,
    ) -> Result<u64, OperatorError> {
        let mut session = self.operators.session()?;
        self.operators.release(&mut session, (topic, key), Asker::Single(&asked)).await
    }

    /// Drops a parked key's first message for good; the reason is recorded among the operations.
    pub async fn discard(
        &self,
        topic: &str,
        key: &str,
        reason: &str,
        asked: IdempotentRequest,
    ) -> Result<(), OperatorError> {
        let mut session = self.operators.session()?;
        let request = Asker::Single(&asked);
        self.operators.discard(&mut session, (topic, key), reason, request).await
    }

    /// Gives a parked key's first message another payload; the old one is recorded among the
    /// operations.
    pub async fn replace(
        &self,
        topic: &str,
        key: &str,
        mended: Replacement<'_>,
        asked: IdempotentRequest,
    ) -> Result<(), OperatorError> {
        self.operators.replace(topic, key, mended, Asker::Single(&asked)).await
    }
}

/// Checks that a statement wrote `rows` rows. Any other number is a bug, and must not commit: it
/// gives [`sqlx::Error::RowNotFound`].
pub fn wrote(done: &sqlx::postgres::PgQueryResult, rows: usize) -> sqlx::Result<()> {
    if usize::try_from(done.rows_affected()) == Ok(rows) {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

/// The error for a stored value that no build could have written: reported when it is loaded.
pub fn invalid(what: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("a row cannot be: {what}").into())
}
