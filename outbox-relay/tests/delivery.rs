//! Kafka refuses messages, or is away: nothing is lost, and nothing overtakes.

use backends::testing;
use outbox_relay::LanePhase;
use rdkafka::{mocking::MockCluster, types::RDKafkaApiKey, types::RDKafkaRespErr};
use sqlx::{Connection, PgConnection};

use crate::stage::{Reader, RunningRelay, number, options, prepare, run, say};

/// Ticks are an hour apart, so only a tick that the failure itself caused can be the reason that no
/// acknowledged event is published again.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_delivery_what_it_refused_comes_again_and_no_more() {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic("refused", 1, 1).unwrap();
    let database = testing::database().await;
    prepare(&database.url(), "refused").await;
    let databases = [("refused", &*database.url())];
    let relay = RunningRelay::start(&options(
        &kafka.bootstrap_servers(),
        &databases,
        &["--tick-every", "1h"],
    ));
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    let mut reader = Reader::new(&kafka.bootstrap_servers(), &["refused"], 1);
    for version in 1..=100 {
        say(&mut session, "key", version).await;
    }
    reader.read(100).await;

    // As many refusals as requests may be in flight: unlike a broker, the mock would accept those
    // behind a refused one.
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    kafka.request_errors(RDKafkaApiKey::Produce, &[refusal; 5]);
    run(
        &mut session,
        "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), 'key', n, 1, 'news' from generate_series(101, 200) as n",
    )
    .await;
    relay.until(0, |state| matches!(state, LanePhase::Stopped(_))).await;
    let tick = "select published_pos from relay_tick order by tick_id desc limit 1";
    assert_eq!(number(&mut session, tick).await, 101);

    kafka.clear_request_errors(RDKafkaApiKey::Produce);
    reader.read(200).await;
    reader.drain().await;
    assert!(reader.repeats < 100, "{} came again", reader.repeats);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_away_is_waited_for() {
    let kafka = testing::private_kafka().await;
    let [topic] = testing::create_topics(&kafka, "away", [("events", 3)]).await;
    let database = testing::database().await;
    prepare(&database.url(), &topic).await;
    let databases = [("away", &*database.url())];
    let relay =
        RunningRelay::start(&options(&kafka.bootstrap(), &databases, &["--stalled-after", "2s"]));
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    let mut reader = Reader::new(&kafka.bootstrap(), &[&topic], 3);
    say(&mut session, "key", 1).await;
    reader.read(1).await;

    kafka.kill9().unwrap();
    for version in 2..=500 {
        say(&mut session, "key", version).await;
    }
    relay.until(0, |state| matches!(state, LanePhase::Delayed(_))).await;
    kafka.restart().await.unwrap();

    reader.read(500).await;
    reader.drain().await;
    relay.leads().await;
    relay.stop().await;
}
