//! What the tests share: a database with an outbox, a relay to start and stop, a reader of topics.

use std::{collections::HashMap, time::Duration};

use backends::testing::{self, TestDatabase};
use clap::Parser;
use outbox_relay::{Config, LanePhase, Relay, RelayOptions};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    message::{BorrowedMessage, Headers},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const MIGRATION: &str = include_str!("../../mailbox/migrations/0001_mailbox.sql");

pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A database with an outbox, and the topic that its events go to.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) kafka: String,
    pub(crate) topic: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let (database, kafka) = (testing::database().await, testing::kafka().await);
        let [topic] = kafka.topics("relay", [("events", 3)]).await;
        let stage = Self { database, kafka: kafka.bootstrap(), topic };
        prepare(&stage.url(), &stage.topic).await;
        stage
    }

    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    pub(crate) async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    pub(crate) fn options(&self, more: &[&str]) -> RelayOptions {
        options(&self.kafka, &[("stage", &self.url())], more)
    }

    pub(crate) fn relay(&self, more: &[&str]) -> RunningRelay {
        RunningRelay::start(&self.options(more))
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.kafka, &[&self.topic], 3)
    }
}

/// Makes the mailbox's tables, and registers the source and the event types.
pub(crate) async fn prepare(url: &str, topic: &str) {
    let mut session = PgConnection::connect(url).await.unwrap();
    run(&mut session, MIGRATION).await;
    let about = format!(
        "insert into outbox_identity (source) values ('/shop/test-svc');
         insert into event_types values (1, '{topic}', 'Said')"
    );
    run(&mut session, &about).await;
    session.close().await.unwrap();
}

/// Replaces the migration's leaves by leaves of a hundred positions.
pub(crate) async fn small_leaves(session: &mut PgConnection) {
    run(
        session,
        "do $$ declare leaf record; begin
           for leaf in select inhrelid::regclass as name from pg_inherits
             where inhparent = 'outbox'::regclass loop
             execute 'drop table ' || leaf.name;
           end loop;
         end $$;
         delete from outbox_leaf;
         select make_outbox_leaf(n * 100 + (n = 0)::int, (n + 1) * 100) from generate_series(0, 9) as n",
    )
    .await;
}

pub(crate) fn options(kafka: &str, databases: &[(&str, &str)], more: &[&str]) -> RelayOptions {
    let databases: Vec<_> = databases.iter().map(|(label, url)| format!("{label}={url}")).collect();
    let databases = databases.join(",");
    let mut args = vec!["outbox-relay", "--kafka", kafka, "--databases", &databases];
    args.extend(more);
    Config::parse_from(args).options
}

pub(crate) async fn run(session: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(session).await.unwrap();
}

/// The one number that a statement returns.
pub(crate) async fn number(session: &mut PgConnection, text: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(session).await.unwrap()
}

/// Waits until an SQL condition holds.
pub(crate) async fn until(session: &mut PgConnection, what: &str, condition: &str) {
    let text = format!("select ({condition})::int::bigint");
    let session = Mutex::new(session);
    testing::eventually(what, SOON, async || {
        if number(*session.lock().await, &text).await == 1 { Ok(()) } else { Err(condition) }
    })
    .await;
}

/// Appends one event to the outbox.
pub(crate) async fn say(session: &mut PgConnection, key: &str, version: i64) {
    append(session, key, version).await.unwrap();
}

pub(crate) async fn append(
    session: &mut PgConnection,
    key: &str,
    version: i64,
) -> sqlx::Result<()> {
    let text = format!(
        "insert into outbox (event_id, key, version, type, payload)
         values ('{}', '{key}', {version}, 1, 'news')",
        Uuid::new_v4()
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(session).await.map(|_| ())
}

/// A relay inside the test's process.
pub(crate) struct RunningRelay {
    pub(crate) relay: Vec<outbox_relay::LaneStatus>,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl RunningRelay {
    pub(crate) fn start(options: &RelayOptions) -> Self {
        let relay = Relay::open(options);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for (_, task) in relay.loops {
            tasks.spawn(task(stop.clone()));
        }
        Self { relay: relay.databases, tasks, stop }
    }

    /// Stops the relay as a signal does.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(end) = self.tasks.join_next().await {
            end.unwrap().unwrap();
        }
    }

    /// Drops the relay where it is, as a kill does.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) async fn until(&self, lane: usize, is_wanted: impl Fn(&LanePhase) -> bool) {
        testing::eventually("the lane's state", SOON, async || {
            let state = self.relay[lane].state();
            if is_wanted(&state) { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
    }

    pub(crate) async fn leads(&self) {
        self.until(0, |state| *state == LanePhase::Leads).await;
    }
}

/// Reads topics from their beginning and checks each key's order: the first occurrences of its
/// versions must count up from 1 without a gap.
pub(crate) struct Reader {
    consumer: StreamConsumer,
    last: HashMap<Vec<u8>, i64>,
    pub(crate) events: u64,
    pub(crate) repeats: u64,
}

impl Reader {
    pub(crate) fn new(kafka: &str, topics: &[&str], partitions: i32) -> Self {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "reader")
            .set("fetch.wait.max.ms", "20")
            .set("queued.max.messages.kbytes", "8192")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..partitions {
                all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&all).unwrap();
        Self { consumer, last: HashMap::new(), events: 0, repeats: 0 }
    }

    /// The next message, unchecked.
    pub(crate) async fn message(&self) -> BorrowedMessage<'_> {
        tokio::time::timeout(SOON, self.consumer.recv()).await.expect("no message came").unwrap()
    }

    /// Reads until `events` different events have come.
    pub(crate) async fn read(&mut self, events: u64) {
        while self.events < events {
            let next = tokio::time::timeout(SOON, self.consumer.recv()).await;
            assert!(next.is_ok(), "{} of {events} events came", self.events);
            // An error means that Kafka is away; the consumer goes on by itself.
            if let Ok(Ok(next)) = next {
                Self::note(&mut self.last, &mut self.events, &mut self.repeats, &next);
            }
        }
    }

    /// Reads on until nothing has come for a while.
    pub(crate) async fn drain(&mut self) {
        let quiet = Duration::from_millis(700);
        while let Ok(next) = tokio::time::timeout(quiet, self.consumer.recv()).await {
            Self::note(&mut self.last, &mut self.events, &mut self.repeats, &next.unwrap());
        }
    }

    fn note(
        last: &mut HashMap<Vec<u8>, i64>,
        events: &mut u64,
        repeats: &mut u64,
        message: &BorrowedMessage<'_>,
    ) {
        let version: i64 = header(message, "ce_version").unwrap().parse().unwrap();
        let last = last.entry(message.key().unwrap().to_vec()).or_default();
        if version <= *last {
            *repeats += 1;
            return;
        }
        let key = String::from_utf8_lossy(message.key().unwrap());
        assert_eq!(version, *last + 1, "the next event of {key}");
        *last = version;
        *events += 1;
    }
}

/// The value of a header.
pub(crate) fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value?.to_vec()).unwrap())
}
