//! A message is exactly what the contract says: key, value and every header.

use rdkafka::{Message, message::Headers};

use crate::stage::{Stage, number, run};

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_those_of_the_contract() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    run(&mut session, "update outbox_identity set incarnation = 3").await;
    let relay = stage.relay(&["--compression", "lz4"]);
    let id = "0190d5a4-7a3b-7c21-8d5e-0123456789ab";
    run(
        &mut session,
        &format!(
            "insert into outbox (event_id, key, version, type, trace, payload, created_at)
             values ('{id}', 'order-1', 12345, 1, decode(repeat('ab', 16) || repeat('cd', 8) || '01', 'hex'),
                     '\\x00ff10', '2026-11-21 09:39:13.000007+00')"
        ),
    )
    .await;

    let reader = stage.reader();
    let message = reader.message().await;

    assert_eq!(message.topic(), stage.topic);
    assert_eq!(message.key(), Some(b"order-1".as_slice()));
    assert_eq!(message.payload(), Some([0x00, 0xff, 0x10].as_slice()));
    let mut headers: Vec<(String, String)> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| {
            let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
            (header.key.to_owned(), value)
        })
        .collect();
    headers.sort();
    let expected = [
        ("ce_id", id),
        ("ce_incarnation", "3"),
        ("ce_source", "/shop/test-svc"),
        ("ce_specversion", "1.0"),
        ("ce_subject", "order-1"),
        ("ce_time", "2026-11-21T09:39:13.000007Z"),
        ("ce_type", &format!("{}.Said", stage.topic)),
        ("ce_version", "12345"),
        ("content-type", "application/protobuf"),
        ("traceparent", "00-abababababababababababababababab-8d5e0123456789ab-01"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_trace_has_no_traceparent() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    crate::stage::say(&mut stage.session().await, "order-1", 1).await;

    let reader = stage.reader();
    let message = reader.message().await;

    assert_eq!(message.headers().unwrap().count(), 9);
    assert_eq!(crate::stage::header(&message, "traceparent"), None);
    relay.stop().await;
}

/// Kafka's Java client puts a key into the same partition: murmur2, here of keys with known hashes.
#[tokio::test(flavor = "multi_thread")]
async fn keys_go_to_the_partitions_that_java_would_choose() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    let mut session = stage.session().await;
    crate::stage::say(&mut session, "21", 1).await;

    let reader = stage.reader();
    let message = reader.message().await;

    // Utils.toPositive(Utils.murmur2("21")) = 1173551340 in Kafka's own tests (-973932308 as an
    // int).
    assert_eq!(message.partition(), 1_173_551_340 % 3);
    assert_eq!(number(&mut session, "select count(*) from outbox").await, 1);
    relay.stop().await;
}
