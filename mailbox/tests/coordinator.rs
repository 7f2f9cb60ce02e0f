//! A group coordinator that refuses to answer: librdkafka's mock broker, whose answers a test can
//! choose.

use std::time::Duration;

use backends::testing::eventually;
use mailbox::testing::CounterRecorder;
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::members::Stage;

/// Longer than any lookup of offsets may take.
const AWAY: Duration = Duration::from_secs(12);

/// A topic with four messages, and a coordinator that refuses so many requests for a group's
/// offsets.
async fn refused_offsets(times: usize) -> (MockCluster<'static, DefaultProducerContext>, Stage) {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("t", 4, 1).unwrap();
    let stage = Stage::on(broker.bootstrap_servers(), vec!["t"]).await;
    for number in 0..4 {
        stage.send("t", number, "early", &["1"]).await;
    }
    // An error that the client does not retry: it reports it at once.
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    broker.request_errors(RDKafkaApiKey::OffsetFetch, &vec![refused; times]);
    (broker, stage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_offsets_cannot_be_read_for_a_while_reads_as_soon_as_they_can() {
    let (broker, stage) = refused_offsets(1_000).await;

    let member = stage.start("").await;
    member.joined().await;
    let since = std::time::Instant::now();
    eventually("the coordinator to have been away for long", AWAY * 3, async || {
        assert!(member.listener.heard().is_empty(), "it was to be away");
        if since.elapsed() >= AWAY { Ok(()) } else { Err(format!("{:?}", since.elapsed())) }
    })
    .await;
    broker.clear_request_errors(RDKafkaApiKey::OffsetFetch);

    stage.words("early", 4).await;
    member.end().await;
}

/// Runs on one thread, so that the thread-local recorder sees every metric. Takes the watchdog's
/// minute.
#[tokio::test]
async fn a_consumer_that_stands_still_is_made_anew_in_place_and_then_reads() {
    let (broker, stage) = refused_offsets(10_000).await;
    let renewals = CounterRecorder::of("consumer_renewed_total");
    let _heard = metrics::set_default_local_recorder(&renewals);

    let member = stage.start("").await;
    eventually("the consumer to be made anew", Duration::from_mins(3), async || {
        assert!(member.listener.heard().is_empty(), "its offsets were to be unknown");
        if renewals.count() > 0 { Ok(()) } else { Err("it is the first") }
    })
    .await;
    broker.clear_request_errors(RDKafkaApiKey::OffsetFetch);

    stage.words("early", 4).await;
    member.end().await;
}
