//! A coordinator that does not answer, in librdkafka's own broker, where answers can be made up.

use std::time::Duration;

use backends::testing::eventually;
use rdkafka::{
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::members::Stage;

/// Longer than any lookup of offsets waits.
const AWAY: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_offsets_cannot_be_read_for_a_while_reads_as_soon_as_they_can() {
    let broker = MockCluster::new(1).unwrap();
    broker.create_topic("t", 4, 1).unwrap();
    let stage = Stage::on(broker.bootstrap_servers(), vec!["t"]).await;
    for number in 0..4 {
        stage.send("t", number, "early", &["1"]).await;
    }
    // Not worth a retry for the client: it says so at once.
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    broker.request_errors(RDKafkaApiKey::OffsetFetch, &[refused; 1_000]);

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
