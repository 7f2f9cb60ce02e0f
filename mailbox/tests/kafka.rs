//! The consume loop on a real Kafka: offsets follow commits, an undecodable message stops its key
//! only, and a restart goes on where it was.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    operators::options,
    toy::{ADDED, NOTED, TOPIC, Toy, clock, prepare, words},
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct RunningMailbox {
    stop: CancellationToken,
    loops: JoinSet<anyhow::Result<()>>,
    mailbox: Mailbox<Toy>,
}

pub(crate) async fn start(url: &str, kafka: &str) -> RunningMailbox {
    let options = options(url.to_owned(), kafka.to_owned());
    let (mailbox, loops) = Mailbox::open(options, Arc::new(Toy)).await.unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for mailbox::Loop { run, .. } in loops {
        running.spawn(run(stop.clone()));
    }
    RunningMailbox { stop, loops: running, mailbox }
}

impl RunningMailbox {
    pub(crate) fn mailbox(&self) -> &Mailbox<Toy> {
        &self.mailbox
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        for ended in std::mem::take(&mut self.loops).join_all().await {
            ended.unwrap();
        }
    }
}

impl Drop for RunningMailbox {
    /// Stops the loops when a test fails, so that nothing waits for the polling thread for ever.
    fn drop(&mut self) {
        self.stop.cancel();
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

    /// Sends a word in an envelope, or bytes without one.
    async fn send(&self, key: &str, version: i64, payload: &[u8], enveloped: bool) {
        self.send_as(key, version, payload, enveloped.then_some(ADDED)).await;
    }

    /// Sends bytes under an event type, or without an envelope.
    async fn send_as(&self, key: &str, version: i64, payload: &[u8], name: Option<&str>) {
        let mut headers = OwnedHeaders::new();
        if let Some(name) = name {
            let (id, version) = (mailbox::testing::new_id().to_string(), version.to_string());
            for (key, value) in [
                ("ce_id", id.as_str()),
                ("ce_type", name),
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
    let started = Instant::now();
    loop {
        let found = words(toy, key).await;
        if found.len() >= count {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{} of {count} words of {key}", found.len());
        tokio::task::yield_now().await;
    }
}

/// A Kafka of the test's own, because all tests' toys use one topic name, and a database.
async fn a_stage() -> (Kafka, TestDatabase) {
    let server = backends::testing::private_kafka().await;
    let topic =
        backends::topics::Topic { name: TOPIC.to_owned(), partitions: 3, config: [].into() };
    server.create_topics(&[topic]).await.unwrap();
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    (server, database)
}

/// A batch is one transaction, and each row tells which one wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_may_linger_are_applied_with_what_comes_soon_after() {
    let (server, database) = a_stage().await;
    let kafka = server.bootstrap();
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let (sender, running) = (Sender::new(&kafka), start(&database.url(), &kafka).await);
    let started = Instant::now();
    for version in 1_u8.. {
        sender.send_as("early", version.into(), b"noted", Some(NOTED)).await;
        // Longer than a message that is in a hurry waits for its batch.
        tokio::time::sleep(Duration::from_millis(30)).await;
        sender.send_as("late", version.into(), b"noted", Some(NOTED)).await;
        for key in ["early", "late"] {
            until_words(&mut toy, key, version.into()).await;
        }
        let shared = "select count(distinct xmin::text) < count(*) from effects";
        if sqlx::query_scalar(shared).fetch_one(toy.db().await).await.unwrap() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "each has a transaction of its own");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_once_in_order_across_a_restart_and_around_a_poison() {
    let (server, database) = a_stage().await;
    let kafka = server.bootstrap();
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let sender = Sender::new(&kafka);

    // Messages that were sent before the group's first start are consumed: it begins at the
    // beginning.
    for version in 1..=50 {
        sender.send("a", version, version.to_string().as_bytes(), true).await;
    }
    let first = start(&database.url(), &kafka).await;
    until_words(&mut toy, "a", 50).await;

    // A message without an envelope under key b stops b; a goes on.
    sender.send("b", 1, b"before", true).await;
    sender.send("b", 2, b"no envelope", false).await;
    sender.send("b", 3, b"after", true).await;
    // A key too long for an index, and a header longer than any of ours.
    sender.send(&"x".repeat(4_000), 1, b"no envelope", false).await;
    sender.send_as("c", 1, b"named", Some(&"t".repeat(500_000))).await;
    sender.send_as("a", 51, b"of a later build", Some("toy.v1.Doubled")).await;
    sender.send("a", 51, b"51", true).await;
    until_words(&mut toy, "a", 51).await;
    let mailbox = first.mailbox.clone();
    eventually("b to be parked with what follows", PATIENCE, || async {
        let keys = mailbox.parked().await.unwrap();
        let waiting = keys.iter().find(|it| it.key == "b").map_or(0, |it| it.messages);
        if keys.len() == 3 && waiting == 2 { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
    let kept: String = sqlx::query_scalar("select event_type from unknown_events")
        .fetch_one(toy.db().await)
        .await
        .unwrap();
    assert_eq!(kept, "toy.v1.Doubled");
    first.end().await;

    for version in 52..=100 {
        sender.send("a", version, version.to_string().as_bytes(), true).await;
    }
    let second = start(&database.url(), &kafka).await;
    let heard = until_words(&mut toy, "a", 100).await;
    let expected: Vec<String> = (1..=100).map(|version| version.to_string()).collect();
    assert_eq!(heard, expected);
    second.mailbox.discard(TOPIC, "b", "no envelope", crate::operators::by_hand()).await.unwrap();
    assert_eq!(second.mailbox.release(TOPIC, "b", crate::operators::by_hand()).await.unwrap(), 1);
    assert_eq!(words(&mut toy, "b").await, ["before", "after"]);
    second.end().await;

    let traced: i64 = sqlx::query_scalar("select count(*) from outbox where trace is not null")
        .fetch_one(toy.db().await)
        .await
        .unwrap();
    assert!(traced >= 101, "consequences stay in the trace of their cause: {traced}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_poison_stops_the_consumer_until_people_have_done_something() {
    let (server, database) = a_stage().await;
    let kafka = server.bootstrap();
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let sender = Sender::new(&kafka);

    let first: Vec<String> = (0..1_300).map(|key| format!("poisoned-{key}")).collect();
    join_all(first.iter().map(|key| sender.send(key, 1, b"no envelope", false))).await;
    let first = start(&database.url(), &kafka).await;
    until_flooded(&first.mailbox, true).await;
    sender.send("a", 1, b"behind", true).await;
    first.end().await;
    let second = start(&database.url(), &kafka).await;
    let mailbox = second.mailbox.clone();
    eventually("the group to be joined again", PATIENCE, || async {
        if mailbox.has_joined() { Ok(()) } else { Err("not yet") }
    })
    .await;
    until_flooded(&second.mailbox, true).await;

    // A flood does not end because a minute has passed.
    let parked = parked_keys(&mut toy).await;
    assert!((1_001..=1_100).contains(&parked), "a restart goes on where it is not over: {parked}");
    let old = "update parked_keys set since = since - interval '2 minutes'";
    sqlx::raw_sql(old).execute(toy.db().await).await.unwrap();
    let looked = "update parked_flood set since = since - interval '2 minutes'";
    sqlx::raw_sql(looked).execute(toy.db().await).await.unwrap();
    assert!(second.mailbox.flood().is_some());
    assert_eq!(parked_keys(&mut toy).await, parked);

    // An operator lets consuming go on; the rest of the same flood does not count as another one.
    assert!(second.mailbox.lift_flood("tester", "the sender is mended").await.unwrap());
    until_words(&mut toy, "a", 1).await;
    until_parked(&mut toy, 1_300).await;
    until_flooded(&second.mailbox, false).await;
    assert!(toy.dump().await["operations"].iter().any(|row| row.contains("consumers.resume")));
    assert!(!second.mailbox.lift_flood("tester", "again").await.unwrap(), "there is none");

    // The next flood is over when half of its keys are not parked any more.
    let next: Vec<String> = (0..1_300).map(|key| format!("again-{key}")).collect();
    join_all(next.iter().map(|key| sender.send(key, 1, b"no envelope", false))).await;
    until_flooded(&second.mailbox, true).await;
    sender.send("a", 2, b"later", true).await;
    let dealt_with = "delete from parked where key like 'poisoned-%';
                      delete from parked_keys where key like 'poisoned-%'";
    sqlx::raw_sql(dealt_with).execute(toy.db().await).await.unwrap();
    until_words(&mut toy, "a", 2).await;
    second.end().await;
}

async fn parked_keys(toy: &mut Fixture<Toy>) -> i64 {
    let keys = sqlx::query_scalar("select count(*) from parked_keys");
    keys.fetch_one(toy.db().await).await.unwrap()
}

/// Waits until so many keys are parked.
async fn until_parked(toy: &mut Fixture<Toy>, keys: i64) {
    let started = Instant::now();
    while parked_keys(toy).await != keys {
        assert!(started.elapsed() < PATIENCE, "{} of {keys}", parked_keys(toy).await);
        tokio::task::yield_now().await;
    }
}

async fn until_flooded(mailbox: &Mailbox<Toy>, is_flooded: bool) {
    let what = if is_flooded { "a flood" } else { "the flood to be over" };
    eventually(what, PATIENCE, || async {
        let why = mailbox.flood();
        if why.is_some() == is_flooded { Ok(()) } else { Err(format!("{why:?}")) }
    })
    .await;
}
