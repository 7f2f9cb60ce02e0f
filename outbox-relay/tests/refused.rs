//! Kafka refuses a message for good, or never acknowledges one: that stops the lane it came from,
//! visibly, and no other; and a lane that starts again has nothing of its former stretch in flight.

use std::{process::Stdio, time::Duration};

use backends::testing::{self, TestDatabase};
use outbox_relay::LanePhase;
use rdkafka::{
    ClientConfig, Message,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::{
    flood::peak_memory,
    stage::{Reader, RunningRelay, Stage, number, options, prepare, run, say, until},
};

/// An event larger than the topic that `narrow` makes accepts.
const LARGE: &str = "insert into outbox (event_id, key, version, type, payload)
    values (gen_random_uuid(), 'bad', 2, 1, decode(repeat('cd', 5000), 'hex'))";

fn admin(kafka: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap()
}

/// Makes a topic that accepts small events only.
async fn narrow(kafka: &str, topic: &str) {
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let topic = topic.set("max.message.bytes", "2000");
    let made = admin(kafka).create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert_eq!(made.iter().filter(|each| each.is_err()).count(), 0);
}

async fn widen(kafka: &str, topic: &str) {
    let wide = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", "9000");
    let altered = admin(kafka).alter_configs([&wide], &AdminOptions::new()).await.unwrap();
    assert_eq!(altered.iter().filter(|each| each.is_err()).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_stops_its_lane_and_no_other_and_is_tried_again() {
    let stage = Stage::new().await;
    let bad = testing::database().await;
    let narrow_topic = format!("{}-narrow", stage.topic);
    narrow(&stage.kafka, &narrow_topic).await;
    prepare(&bad.url(), &narrow_topic).await;
    let databases = [("good", &*stage.url()), ("bad", &*bad.url())];
    let relay = RunningRelay::start(&options(&stage.kafka, &databases, &["--tick-every", "20ms"]));
    let mut good = stage.session().await;
    let mut bad = PgConnection::connect(&bad.url()).await.unwrap();
    let (mut reader, mut narrow) = (stage.reader(), Reader::new(&stage.kafka, &[&narrow_topic], 1));

    say(&mut bad, "bad", 1).await;
    narrow.read(1).await;
    run(&mut bad, LARGE).await;
    say(&mut bad, "bad", 3).await;
    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("too large"));
    relay.until(1, refused).await;
    for version in 1..=300 {
        say(&mut good, "good", version).await;
    }

    // The other lane publishes, writes ticks and repeats nothing.
    reader.read(300).await;
    let published = "(select published_pos from relay_tick order by tick_id desc limit 1) > 300";
    until(&mut good, "a tick of the lane that is sound", published).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    assert_eq!(relay.relay[0].state(), LanePhase::Leads);
    // Events that were acknowledged before the refusal are ticked, so a retry does not repeat them.
    narrow.drain().await;
    assert_eq!((narrow.events, narrow.repeats), (1, 0));
    relay.until(1, refused).await;

    widen(&stage.kafka, &narrow_topic).await;
    narrow.read(3).await;
    relay.until(1, |state| *state == LanePhase::Leads).await;
    relay.stop().await;
}

/// The producer itself accepts no message of two megabytes; most of this one is its key.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_even_be_sent_stops_its_lane_and_loses_nothing_before_it() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    relay.leads().await;
    let mut session = stage.session().await;
    run(
        &mut session,
        "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), key, 1, 1, 'news'
         from unnest(array['before'::bytea, decode(repeat('ab', 2000000), 'hex')]) as key",
    )
    .await;

    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("position"));
    relay.until(0, refused).await;
    let mut reader = stage.reader();
    reader.read(1).await;

    run(&mut session, "delete from outbox where octet_length(key) > 1000000").await;
    say(&mut session, "after", 1).await;
    reader.read(2).await;
    relay.leads().await;
    relay.stop().await;
}

/// The first event of a partition goes alone, and the others wait for it together.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_an_event_that_waited_and_cannot_be_sent() {
    let stage = Stage::new().await;
    // The second is too large for the producer: the key stands in a message twice.
    run(
        &mut stage.session().await,
        "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), decode(repeat('ab', 320000), 'hex'), version, 1,
                decode(repeat('cd', case when version = 2 then 390000 else 1 end), 'hex')
         from generate_series(1, 3) as version",
    )
    .await;
    let relay = stage.relay(&[]);

    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("position 2 "));
    relay.until(0, refused).await;
    let mut reader = stage.reader();
    reader.read(1).await;
    reader.drain().await;
    assert_eq!(reader.events, 1);
    relay.stop().await;
}

/// A broker that answers metadata requests and acknowledges no message, until told otherwise.
fn deaf(topic: &str) -> MockCluster<'static, DefaultProducerContext> {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic(topic, 1, 1).unwrap();
    let again = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    kafka.request_errors(RDKafkaApiKey::Produce, &vec![again; 100_000]);
    kafka
}

/// A relay whose first request to a partition Kafka answers with `error`, after so long that what is
/// committed meanwhile is found, too. It would be in flight behind that request, and Kafka takes
/// any sequence number of a producer that the partition knows nothing of.
async fn answers_the_first_request_with(
    error: RDKafkaRespErr,
) -> (MockCluster<'static, DefaultProducerContext>, TestDatabase, RunningRelay) {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic("first", 2, 1).unwrap();
    let database = testing::database().await;
    prepare(&database.url(), "first").await;
    let databases = [("first", &*database.url())];
    // Only the tick at the end of a stretch keeps what was acknowledged from being repeated.
    let often = ["--poll-idle", "1ms", "--poll-guard", "1ms", "--tick-every", "1h"];
    let relay = RunningRelay::start(&options(&kafka.bootstrap_servers(), &databases, &often));
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    // The producer knows the topic by now.
    say(&mut session, "other", 1).await;
    let reader = Reader::new(&kafka.bootstrap_servers(), &["first"], 2);
    assert_eq!(reader.message().await.partition(), 0);

    kafka.request_errors(RDKafkaApiKey::Produce, &[error]);
    kafka.broker_round_trip_time(1, Duration::from_secs(1)).unwrap();
    for version in 1..=300 {
        say(&mut session, "key", version).await;
    }
    (kafka, database, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_the_first_event_of_a_partition_when_it_is_refused() {
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let (kafka, _database, relay) = answers_the_first_request_with(too_large).await;
    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("too large"));
    relay.until(0, refused).await;

    kafka.broker_round_trip_time(1, Duration::ZERO).unwrap();
    let mut reader = Reader::new(&kafka.bootstrap_servers(), &["first"], 2);
    reader.read(301).await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}

/// librdkafka takes the success of a later request as a proof that the earlier one was written.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_events_of_a_partition_are_not_lost_when_they_are_to_be_sent_again() {
    let again = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    let (kafka, _database, relay) = answers_the_first_request_with(again).await;

    Reader::new(&kafka.bootstrap_servers(), &["first"], 2).read(301).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_answers_and_acknowledges_nothing_is_told_and_tried_again() {
    let kafka = deaf("deaf");
    let database = testing::database().await;
    prepare(&database.url(), "deaf").await;
    let more = ["--stalled-after", "1s"];
    let databases = [("deaf", &*database.url())];
    let relay = RunningRelay::start(&options(&kafka.bootstrap_servers(), &databases, &more));
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    for version in 1..=10 {
        say(&mut session, "key", version).await;
    }

    let told = |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("acknowledged"));
    relay.until(0, told).await;

    kafka.clear_request_errors(RDKafkaApiKey::Produce);
    Reader::new(&kafka.bootstrap_servers(), &["deaf"], 1).read(10).await;
    relay.leads().await;
    relay.stop().await;
}

/// Each new session sends all events of its database that were not acknowledged: some 8 MB here.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_come_and_go_do_not_pile_up_what_is_in_flight() {
    let kafka = deaf("piled");
    let database = testing::database().await;
    prepare(&database.url(), "piled").await;
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    run(
        &mut session,
        "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), 'key', n, 1, decode(repeat('cd', 850), 'hex')
         from generate_series(1, 9000) as n",
    )
    .await;
    let databases = format!("piled={}", database.url());
    let relay = Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
        .args(["--port", "0", "--kafka", &kafka.bootstrap_servers(), "--databases", &databases])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    for sessions in 1..=15 {
        // A poll that has read something is under way once its session has read from the outbox.
        let epoch = format!("(select max(epoch) from relay_tick) = {sessions}");
        until(&mut session, "the next leader", &epoch).await;
        let polls = "exists (select from pg_stat_activity
            where datname = current_database() and query like '-- poll%' and state = 'idle')";
        until(&mut session, "a poll that has ended", polls).await;
        let lost = "select count(pg_terminate_backend(pid)) from pg_locks
             where locktype = 'advisory' and granted
               and database = (select oid from pg_database where datname = current_database())";
        assert_eq!(number(&mut session, lost).await, 1);
    }

    let peak = peak_memory(&relay);
    assert!(peak < 150, "the relay has had {peak} MiB");
}
