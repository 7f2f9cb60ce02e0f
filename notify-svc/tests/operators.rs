//! Operators over HTTP: many parked keys at a time.

use axum::http::StatusCode;
use backends::testing::eventually;
use mailbox::{Message, testing::message};
use proto::topic;
use serde_json::{Value, json};
use service_kit::testing::TestResponse;

use super::{
    SOON, an_order,
    http::{Server, a_server},
};

const BULK: &str = "/v1/parked/bulk";

/// A message that is no event, the first of a new order's key.
fn poison() -> Message {
    let key = an_order().to_string();
    message(topic::PAYMENTS, &key, "shop.payments.v1.PaymentRefunded", 1, vec![0xff])
}

/// A server at which so many keys are parked.
async fn with_parked(keys: u64) -> Server {
    let mut server = a_server().await;
    let messages = (0..keys).map(|_| poison()).collect();
    assert_eq!(server.shop.mailbox.hear(messages).await, keys);
    server
}

fn wish(action: &str, expected: Option<i64>) -> Value {
    let filter = json!({"service": "notify-svc", "topic": topic::PAYMENTS, "class": "undecodable"});
    json!({"action": action, "filter": filter, "expected": expected, "reason": "put by a test"})
}

impl Server {
    /// The operation that an answer names, once it has ended.
    async fn ended(&self, begun: &TestResponse) -> Value {
        let path = begun.header("location").to_owned();
        eventually("the operation to end", SOON, async || {
            let (status, bulk) = self.get(&path).await;
            assert_eq!(status, StatusCode::OK);
            if bulk["state"] == "ended" { Ok(bulk) } else { Err(bulk) }
        })
        .await
    }
}

#[tokio::test]
async fn keys_are_counted_then_released_or_discarded_together_and_each_tells_its_end() {
    let server = with_parked(3).await;
    let mut preview = wish("discard", None);
    preview.as_object_mut().unwrap().remove("reason");
    let counted = server.http.post(BULK, &preview).await;
    assert_eq!(counted.status, StatusCode::OK);
    assert_eq!(counted.body, json!({"keys": 3, "messages": 3, "has_more": false}));

    let released = server.http.post(BULK, wish("release", Some(3))).await;
    assert_eq!(released.status, StatusCode::ACCEPTED);
    let told = server.ended(&released).await;
    assert_eq!(told["outcomes"], json!({"stopped": 3}), "{told}");
    let (_, keys) = server.get(&format!("{}/keys", released.header("location"))).await;
    let keys = keys["items"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    assert_eq!((&keys[0]["outcome"], &keys[0]["messages"]), (&json!("stopped"), &json!(0)));
    assert_eq!(keys[0]["topic"], topic::PAYMENTS);
    assert!(keys[0]["detail"].is_string() && keys[0]["ended_at"].is_string(), "{keys:?}");

    let discarded = server.http.post(BULK, wish("discard", Some(3))).await;
    let told = server.ended(&discarded).await;
    assert_eq!(told["id"].as_str(), discarded.header("location").rsplit('/').next());
    for (member, value) in [
        ("action", json!("discard")),
        ("filter", wish("", None)["filter"].clone()),
        ("reason", json!("put by a test")),
        ("keys", json!(3)),
        ("messages", json!(3)),
        ("done", json!(3)),
        ("outcomes", json!({"discarded": 3})),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    let (_, none) = server.get("/v1/parked").await;
    assert_eq!(none["items"], json!([]));
    let path = format!("{}/keys?outcome=stopped", discarded.header("location"));
    assert_eq!(server.get(&path).await.1["items"], json!([]));
    let (_, operations) = server.get("/v1/operations").await;
    let operations = operations["items"].as_array().unwrap();
    let of = |action: &str| operations.iter().filter(|it| it["action"] == action).count();
    assert_eq!((of("parked.bulk"), of("parked.release"), of("parked.discard")), (2, 3, 3));
    assert!(operations.iter().all(|it| it["reason"] == "put by a test"), "{operations:?}");
}

#[tokio::test]
async fn another_number_of_keys_begins_nothing() {
    let server = with_parked(2).await;
    let key = [("idempotency-key", "k")];
    for _ in 0..2 {
        let refused = server.http.post_with(BULK, &key, wish("discard", Some(3))).await;
        assert_eq!(refused.code(), (409, "unexpected_count"));
        assert_eq!(refused.body["keys"], 2);
    }
    let (_, parked) = server.get("/v1/parked").await;
    assert_eq!(parked["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_repeated_request_begins_one_operation() {
    let server = with_parked(2).await;
    let key = [("idempotency-key", "k")];
    let first = server.http.post_with(BULK, &key, wish("discard", Some(2))).await;
    server.ended(&first).await;
    let again = server.http.post_with(BULK, &key, wish("discard", Some(2))).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.body, first.body, "the answer at its begin");
    let other = server.http.post_with(BULK, &key, wish("discard", Some(1))).await;
    assert_eq!(other.code(), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn bad_requests_get_their_codes() {
    let server = a_server().await;
    let with = |pointer: &str, value: Value| {
        let mut body = wish("release", Some(0));
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (pointer, value, code) in [
        ("/action", json!("replace"), "invalid_value"),
        ("/action", Value::Null, "missing_field"),
        ("/filter", Value::Null, "missing_field"),
        ("/filter/service", json!("order-svc"), "invalid_value"),
        ("/filter/service", Value::Null, "missing_field"),
        ("/filter/class", json!("unknown_event"), "invalid_value"),
        ("/expected", json!(-1), "invalid_value"),
        ("/expected", json!(10_001), "invalid_value"),
        ("/reason", Value::Null, "missing_field"),
    ] {
        let refused = server.http.post(BULK, with(pointer, value.clone())).await;
        assert_eq!(refused.code(), (422, code), "{pointer} {value}");
        assert_eq!(refused.pointer(), pointer, "{}", refused.body);
    }
    let none = an_order();
    for path in [format!("{BULK}/{none}"), format!("{BULK}/{none}/keys"), format!("{BULK}/7")] {
        assert_eq!(server.http.get(&path).await.code(), (404, "not_found"), "{path}");
    }
    let begun = server.http.post(BULK, wish("release", Some(0))).await;
    let path = format!("{}/keys?outcome=lost", begun.header("location"));
    assert_eq!(server.http.get(&path).await.code(), (400, "bad_parameter"));
    assert_eq!(server.ended(&begun).await["outcomes"], json!({}), "no keys are soon done");
}
