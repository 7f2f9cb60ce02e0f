//! The consume loop on a real Kafka: offsets follow commits, a poison stops its key, a restart goes
//! on.

use std::{sync::Arc, time::Duration};

use backends::{
    Kafka,
    testing::{TestDatabase, eventually},
};
use futures::future::join_all;
use mailbox::{Mailbox, testing::Fixture};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    operators::options,
    toy::{TOPIC, Toy, clock, prepare, words},
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    stop: CancellationToken,
    loops: JoinSet<anyhow::Result<()>>,
    mailbox: Mailbox<Toy>,
}

async fn start(url: &str, kafka: &str) -> Running {
    let options = options(url.to_owned(), kafka.to_owned());
    let (mailbox, loops) = Mailbox::open(options, Arc::new(Toy)).await.unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for (_, run) in loops {
        running.spawn(run(stop.clone()));
    }
    Running { stop, loops: running, mailbox }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        for ended in self.loops.join_all().await {
            ended.unwrap();
        }
    }
}

struct Sender {
    producer: FutureProducer,
}

impl Sender {
    fn new(kafka: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        Self { producer }
    }

    /// Sends a word with its envelope, or bytes without one.
    async fn send(&self, key: &str, version: i64, payload: &[u8], enveloped: bool) {
        let mut headers = OwnedHeaders::new();
        if enveloped {
            let (id, version) = (Uuid::now_v7().to_string(), version.to_string());
            for (key, value) in [
                ("ce_id", id.as_str()),
                ("ce_type", "toy.v1.Added"),
                ("ce_source", "/toy"),
                ("ce_version", &version),
                ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ] {
                headers = headers.insert(Header { key, value: Some(value) });
            }
        }
        let record = FutureRecord::to(TOPIC).key(key).payload(payload).headers(headers);
        self.producer.send(record, PATIENCE).await.unwrap();
    }
}

async fn until_words(toy: &mut Fixture<Toy>, key: &str, count: usize) -> Vec<String> {
    let started = std::time::Instant::now();
    loop {
        let found = words(toy, key).await;
        if found.len() >= count {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{} of {count} words of {key}", found.len());
        tokio::task::yield_now().await;
    }
}

/// A Kafka of its own, since the toy's topic has one name, and a database.
async fn a_stage() -> (Kafka, TestDatabase) {
    let server = backends::testing::private_kafka().await;
    let topic =
        backends::topics::Topic { name: TOPIC.to_owned(), partitions: 3, config: [].into() };
    server.create_topics(&[topic]).await.unwrap();
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    (server, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_once_in_order_across_a_restart_and_around_a_poison() {
    let (server, database) = a_stage().await;
    let kafka = server.bootstrap();
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let sender = Sender::new(&kafka);

    // What was sent before the first start is heard: nobody's offsets begin at the end.
    for version in 1..=50 {
        sender.send("a", version, version.to_string().as_bytes(), true).await;
    }
    let first = start(&database.url(), &kafka).await;
    until_words(&mut toy, "a", 50).await;

    // A message without an envelope under key b: b stops, a goes on.
    sender.send("b", 1, b"before", true).await;
    sender.send("b", 2, b"no envelope", false).await;
    sender.send("b", 3, b"after", true).await;
    sender.send("a", 51, b"51", true).await;
    until_words(&mut toy, "a", 51).await;
    let mailbox = first.mailbox.clone();
    eventually("b to be parked with what follows", PATIENCE, || async {
        let keys = mailbox.parked().await.unwrap();
        if keys.len() == 1 && keys[0].messages == 2 { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    first.end().await;

    for version in 52..=100 {
        sender.send("a", version, version.to_string().as_bytes(), true).await;
    }
    let second = start(&database.url(), &kafka).await;
    let heard = until_words(&mut toy, "a", 100).await;
    let expected: Vec<String> = (1..=100).map(|version| version.to_string()).collect();
    assert_eq!(heard, expected);
    second.mailbox.discard(TOPIC, "b", "no envelope", None).await.unwrap();
    assert_eq!(second.mailbox.release(TOPIC, "b", None).await.unwrap(), 1);
    assert_eq!(words(&mut toy, "b").await, ["before", "after"]);
    second.end().await;

    let traced: i64 = sqlx::query_scalar("select count(*) from outbox where trace is not null")
        .fetch_one(toy.db().await)
        .await
        .unwrap();
    assert!(traced >= 101, "consequences stay in the trace of their cause: {traced}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_poison_stops_the_consumer_until_it_is_over() {
    let (server, database) = a_stage().await;
    let kafka = server.bootstrap();
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let sender = Sender::new(&kafka);
    let stopped = "select count(*) from parked_keys";

    let keys: Vec<String> = (0..1_300).map(|key| format!("poisoned-{key}")).collect();
    join_all(keys.iter().map(|key| sender.send(key, 1, b"no envelope", false))).await;
    let first = start(&database.url(), &kafka).await;
    eventually("too many keys to have stopped", PATIENCE, async || {
        let mut db =
            PgConnection::connect(&database.url()).await.map_err(|error| error.to_string())?;
        let keys: i64 = sqlx::query_scalar(stopped).fetch_one(&mut db).await.unwrap();
        if keys > 1_000 { Ok(()) } else { Err(keys.to_string()) }
    })
    .await;
    sender.send("a", 1, b"behind", true).await;
    first.end().await;
    let second = start(&database.url(), &kafka).await;
    let mailbox = second.mailbox.clone();
    eventually("the group to be joined again", PATIENCE, async || {
        if mailbox.has_joined() { Ok(()) } else { Err("not yet") }
    })
    .await;

    let db = toy.db().await;
    let keys: i64 = sqlx::query_scalar(stopped).fetch_one(&mut *db).await.unwrap();
    assert!(keys <= 1_100, "a restart goes on where it is not over: {keys}");
    let over = "update parked_keys set since = since - interval '1 minute'";
    sqlx::raw_sql(over).execute(&mut *db).await.unwrap();
    until_words(&mut toy, "a", 1).await;
    // They lie in other partitions, which are read in no order among each other.
    eventually("all of them to have stopped", PATIENCE, async || {
        let keys: i64 = sqlx::query_scalar(stopped)
            .fetch_one(&mut PgConnection::connect(&database.url()).await.unwrap())
            .await
            .unwrap();
        if keys == 1_300 { Ok(()) } else { Err(keys) }
    })
    .await;
    second.end().await;
}
