//! Members of a consumer group on a real Kafka, each test with topics and a group of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use backends::testing::{TestDatabase, eventually};
use futures::future::join_all;
use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Mailbox, Message, Options, Park,
    Reactor,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    operators::options,
    toy::{ADDED, Add, TOPIC, Toy, World, prepare},
};

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The position of a message: topic, partition and offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// The toy on topics and event types of the test's choice, which also remembers what it read.
pub(crate) struct Listener {
    topics: &'static [&'static str],
    compacted: &'static [&'static str],
    types: &'static [&'static str],
    read: Mutex<Vec<Position>>,
}

impl Listener {
    /// A listener on these topics, otherwise like the toy.
    fn of(topics: &'static [&'static str], compacted: &'static [&'static str]) -> Self {
        Self { topics, compacted, types: &[ADDED], read: Mutex::default() }
    }

    /// A listener on the toy's topic that knows these types.
    pub(crate) fn knowing(types: &'static [&'static str]) -> Self {
        Self { types, ..Self::of(&[TOPIC], &[]) }
    }

    /// The position of every message that was read, as often as it was.
    pub(crate) fn heard(&self) -> Vec<Position> {
        self.read.lock().unwrap().clone()
    }
}

impl Reactor for Listener {
    type Input = Add;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        self.topics
    }

    fn compacted(&self) -> &'static [&'static str] {
        self.compacted
    }

    fn is_known(&self, event_type: &str) -> bool {
        self.types.contains(&event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Add>>, Park> {
        self.read.lock().unwrap().push(Position {
            topic: message.topic.to_string(),
            partition: message.partition,
            offset: message.offset,
        });
        Toy.read(message)
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Add],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        Toy.load(db, batch, locking).await
    }

    fn held(&self, world: &World, add: &Add) -> Option<HeldRow> {
        Toy.held(world, add)
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Add) -> Option<&'w mut i64> {
        Toy.heard(world, input)
    }

    fn decide(
        &self,
        world: &mut World,
        add: &Add,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        Toy.decide(world, add, context)
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        Toy.save(db, world).await
    }
}

/// A database, a broker, and topics and a consumer group of the test's own.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) kafka: String,
    pub(crate) topics: &'static [&'static str],
    pub(crate) compacted: &'static [&'static str],
    pub(crate) group: &'static str,
    producer: FutureProducer,
}

impl Stage {
    /// A stage with one topic for each number of partitions, on the broker that tests share.
    pub(crate) async fn new<const N: usize>(partitions: [i32; N]) -> Self {
        let broker = backends::testing::kafka().await;
        let wanted: [(&str, i32); N] = partitions.map(|count| ("topic", count));
        let mut names = Vec::new();
        for topic in wanted {
            let [name] = broker.topics("group", [topic]).await;
            names.push(&*name.leak());
        }
        Self::on(broker.bootstrap(), names).await
    }

    /// A stage on a broker that has the topics already.
    pub(crate) async fn on(kafka: String, topics: Vec<&'static str>) -> Self {
        let database = backends::testing::database().await;
        prepare(&database.url()).await;
        let producer =
            ClientConfig::new().set("bootstrap.servers", &kafka).set("linger.ms", "1").create();
        Self {
            database,
            kafka,
            topics: topics.leak(),
            compacted: &[],
            group: format!("group-{}", mailbox::testing::new_id().simple()).leak(),
            producer: producer.unwrap(),
        }
    }

    pub(crate) fn options(&self, instance: &str) -> Options {
        Options {
            service: self.group,
            instance: instance.to_owned(),
            ..options(self.database.url(), self.kafka.clone())
        }
    }

    pub(crate) async fn start(&self, instance: &str) -> Member {
        Member::start(self.options(instance), self.topics, self.compacted).await
    }

    /// Sends words under a key to one partition, each in an envelope of its own.
    pub(crate) async fn send(&self, topic: &str, partition: i32, key: &str, words: &[&str]) {
        join_all(words.iter().map(async |word| {
            let (id, version) = (mailbox::testing::new_id().to_string(), "1".to_owned());
            let mut headers = OwnedHeaders::new();
            for (key, value) in [
                ("ce_id", id.as_str()),
                ("ce_type", "toy.v1.Added"),
                ("ce_source", "/toy"),
                ("ce_version", &version),
            ] {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let record = FutureRecord::to(topic)
                .partition(partition)
                .key(key)
                .payload(word.as_bytes())
                .headers(headers);
            self.producer.send(record, PATIENCE).await.unwrap();
        }))
        .await;
    }

    /// The words of a key, once there are `count` of them.
    pub(crate) async fn words(&self, key: &str, count: usize) -> Vec<String> {
        eventually(&format!("{count} words of {key}"), PATIENCE, async || {
            let mut db =
                PgConnection::connect(&self.database.url()).await.map_err(|it| it.to_string())?;
            let found: Vec<String> =
                sqlx::query_scalar("select word from effects where key = $1 order by effect_id")
                    .bind(key)
                    .fetch_all(&mut db)
                    .await
                    .map_err(|it| it.to_string())?;
            if found.len() >= count { Ok(found) } else { Err(found.len().to_string()) }
        })
        .await
    }

    /// Removes the messages of a partition before an offset, as retention does.
    pub(crate) async fn remove(&self, topic: &str, partition: i32, before: Offset) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, before).unwrap();
        self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    /// Deletes a topic, and makes it anew.
    pub(crate) async fn make_anew(&self, topic: &str, partitions: i32) {
        let gone = self.admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
        let new = backends::topics::Topic { name: topic.to_owned(), partitions, config: [].into() };
        backends::topics::create(&self.kafka, &[new]).await.unwrap();
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.kafka).create().unwrap()
    }
}

/// A member of the group.
pub(crate) struct Member {
    pub(crate) mailbox: Mailbox<Listener>,
    pub(crate) listener: Arc<Listener>,
    /// Stops the loops when the test fails, too: the polling thread would go on for ever.
    stop: DropGuard,
    loops: JoinSet<anyhow::Result<()>>,
}

impl Member {
    pub(crate) async fn start(
        options: Options,
        topics: &'static [&'static str],
        compacted: &'static [&'static str],
    ) -> Self {
        let listener = Arc::new(Listener::of(topics, compacted));
        let (mailbox, loops) = Mailbox::open(options, Arc::clone(&listener)).await.unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for mailbox::Loop { run, .. } in loops {
            running.spawn(run(stop.clone()));
        }
        Self { mailbox, listener, stop: stop.drop_guard(), loops: running }
    }

    /// Stops the member as a process is stopped.
    pub(crate) async fn end(self) {
        drop(self.stop);
        for ended in self.loops.join_all().await {
            ended.unwrap();
        }
    }

    /// Waits for the first of the loops that ends by itself; returns how it ended.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        self.loops.join_next().await.unwrap().unwrap()
    }

    /// Waits until the group has given the member its partitions.
    pub(crate) async fn joined(&self) {
        eventually("the group to be joined", PATIENCE, async || {
            if self.mailbox.has_joined() { Ok(()) } else { Err("not yet") }
        })
        .await;
    }
}
