//! What staff ask of webhooks, and the answers.

use notify_svc::carriers::guard::AddressPolicy;
use serde_json::{Value, json};

use super::{Receiver, all_are};
use crate::{
    an_order,
    http::{a_server, a_server_for},
};

const NOBODY: &str = "/v1/webhooks/01932c1e-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_deleted() {
    let server = a_server().await;
    let body = json!({
        "url": "http://127.0.0.1:9/hook?a=b",
        "events": ["OrderShipped", "OrderPlaced"],
        "description": "the warehouse",
    });

    let made = server.http.post("/v1/webhooks", &body).await;

    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/v1/webhooks/{id}");
    assert_eq!(made.header("location"), path);
    assert!(made.body["secret"].as_str().unwrap().starts_with("whsec_"));
    let shown = server.http.get(&path).await;
    let mut wanted = made.body.clone();
    wanted["secret"] = Value::Null;
    assert_eq!((shown.status.as_u16(), &shown.body), (200, &wanted));
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(&shown.body[name], value);
    }
    assert_eq!((&wanted["status"], &wanted["disabled_reason"]), (&json!("enabled"), &Value::Null));
    assert_eq!(made.header("etag"), shown.header("etag"));

    let tag = shown.header("etag").to_owned();
    let new = json!({"url": "http://127.0.0.1:9/", "events": ["*"], "status": "disabled"});
    let put = server.http.ask("PUT", &path, &[("if-match", &tag)], Some(&new)).await;
    assert_eq!((put.status.as_u16(), &put.body["events"]), (200, &json!(["*"])));
    assert_eq!((&put.body["status"], &put.body["description"]), (&json!("disabled"), &Value::Null));
    assert_eq!(put.body["secret"], Value::Null);
    for (method, body) in [("PUT", Some(&new)), ("DELETE", None)] {
        let stale = server.http.ask(method, &path, &[("if-match", &tag)], body).await;
        assert_eq!(stale.code(), (412, "stale"), "{method}");
    }
    let tag = put.header("etag").to_owned();
    let deleted = server.http.ask("DELETE", &path, &[("if-match", &tag)], None).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (204, Value::Null));
    let (_, list) = server.get("/v1/webhooks").await;
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = a_server().await;
    let made = server.webhook("http://127.0.0.1:9/", &["*"]).await;
    let body = json!({"url": "http://127.0.0.1:9/", "events": ["*"]});
    let period = json!({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"});
    for (method, path, body) in [
        ("GET", NOBODY.to_owned(), None),
        ("GET", "/v1/webhooks/7".to_owned(), None),
        ("PUT", NOBODY.to_owned(), Some(&body)),
        ("DELETE", NOBODY.to_owned(), None),
        ("GET", format!("{NOBODY}/deliveries"), None),
        ("POST", format!("{NOBODY}/rotate-secret"), None),
        ("POST", format!("{NOBODY}/replay"), Some(&period)),
        ("POST", format!("{NOBODY}/deliveries/1/resend"), None),
        ("POST", made.path("/deliveries/1/resend"), None),
        ("POST", made.path("/deliveries/+1/resend"), None),
        ("POST", made.path("/deliveries/x/resend"), None),
    ] {
        let answer = server.http.ask(method, &path, &[], body).await;
        assert_eq!(answer.code(), (404, "not_found"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_repeated_request_shows_no_secret() {
    let mut server = a_server().await;
    let key = [("idempotency-key", "one")];
    let body = json!({"url": "http://127.0.0.1:9/", "events": ["*"]});

    let first = server.http.post_with("/v1/webhooks", &key, &body).await;
    let again = server.http.post_with("/v1/webhooks", &key, &body).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", first.body["id"].as_str().unwrap());
    let rotated = server.http.post_with(&path, &key, json!({})).await;
    let rotated_again = server.http.post_with(&path, &key, json!({})).await;

    for (first, again) in [(&first, &again), (&rotated, &rotated_again)] {
        assert!(first.body["secret"].is_string(), "{}", first.body);
        assert_eq!(first.header("idempotency-replayed"), "");
        assert_eq!((again.status, &again.body["secret"]), (first.status, &Value::Null));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.body["id"], first.body["id"]);
    }
    assert_eq!(server.shop.count("webhooks").await, 1);
    let secret = rotated.body["secret"].as_str().unwrap().trim_start_matches("whsec_").to_owned();
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select body from idempotency_keys")
        .fetch_all(server.shop.mailbox.db().await)
        .await
        .unwrap();
    assert!(kept.iter().all(|body| !String::from_utf8_lossy(body).contains(&secret)));
}

#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_told_with_its_place() {
    let server = a_server().await;
    let url = "http://127.0.0.1:9/";
    let text = |count: usize| "é".repeat(count);
    for (body, code, pointer) in [
        (json!({}), "missing_field", "/url"),
        (json!({"url": url}), "missing_field", "/events"),
        (json!({"url": "nowhere", "events": ["*"]}), "invalid_value", "/url"),
        (json!({"url": "ftp://x.example/", "events": ["*"]}), "invalid_value", "/url"),
        (json!({"url": "https://me@x.example/", "events": ["*"]}), "invalid_value", "/url"),
        (json!({"url": format!("{url}{}", text(182)), "events": ["*"]}), "invalid_value", "/url"),
        (json!({"url": url, "events": []}), "invalid_value", "/events"),
        (json!({"url": url, "events": "*"}), "invalid_value", "/events"),
        (json!({"url": url, "events": ["OrderPlaced", "Nothing"]}), "invalid_value", "/events/1"),
        (json!({"url": url, "events": ["*", "OrderPlaced"]}), "invalid_value", "/events/0"),
        (json!({"url": url, "events": [7]}), "invalid_value", "/events/0"),
        (json!({"url": url, "events": ["*"], "status": "gone"}), "invalid_value", "/status"),
        (
            json!({"url": url, "events": ["*"], "description": text(201)}),
            "invalid_value",
            "/description",
        ),
        (json!({"url": url, "events": ["*"], "secret": "whsec_"}), "unknown_field", "/secret"),
    ] {
        let refused = server.http.post("/v1/webhooks", &body).await;
        assert_eq!((refused.code(), refused.pointer()), ((422, code), pointer), "{body}");
    }
    let longest =
        json!({"url": format!("{url}{}", text(181)), "events": ["*"], "description": text(200)});
    let made = server.http.post("/v1/webhooks", &longest).await;
    assert_eq!((made.status.as_u16(), &made.body["url"]), (201, &longest["url"]));
    assert_eq!(made.body["description"], longest["description"]);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_refused() {
    let server = a_server_for(AddressPolicy::PublicOnly).await;
    for url in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://localhost:9000/",
        "http://x.invalid/",
    ] {
        let body = json!({"url": url, "events": ["*"]});
        let refused = server.http.post("/v1/webhooks", &body).await;
        assert_eq!((refused.code(), refused.pointer()), ((422, "invalid_value"), "/url"), "{url}");
    }
    let body = json!({"url": "https://x.invalid/", "events": ["*"]});
    assert_eq!(server.http.post("/v1/webhooks", &body).await.status, 201);
}

#[tokio::test]
async fn a_replay_needs_a_period() {
    let server = a_server().await;
    let path = server.webhook("http://127.0.0.1:9/", &["*"]).await.path("/replay");
    let (early, late) = ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z");
    for (body, code, pointer) in [
        (json!({"to": late}), "missing_field", "/from"),
        (json!({"from": early}), "missing_field", "/to"),
        (json!({"from": late, "to": early}), "invalid_value", "/to"),
        (json!({"from": "yesterday", "to": late}), "invalid_value", "/from"),
    ] {
        let refused = server.http.post(&path, &body).await;
        assert_eq!((refused.code(), refused.pointer()), ((422, code), pointer), "{body}");
    }
}

#[tokio::test]
async fn webhooks_and_deliveries_are_listed_page_by_page() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let made = server.webhook(&receiver.url(), &["*"]).await;
    let other = server.webhook(&receiver.url(), &["*"]).await;
    let messages: Vec<_> = (0..3).map(|_| server.shop.captured(an_order())).collect();
    server.shop.hear(messages).await;
    server
        .shop
        .run(
            "update webhook_deliveries set status = 'failed', ended_at = clock_timestamp()
        where delivery_id = (select min(delivery_id) from webhook_deliveries)",
        )
        .await;

    let pages = async |path: &str| {
        let mut ids: Vec<String> = Vec::new();
        let mut next = format!("{path}limit=1");
        loop {
            let (status, page) = server.get(&next).await;
            assert_eq!(status, 200, "{page}");
            let items = page["items"].as_array().unwrap();
            ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { return ids };
            next = format!("{path}limit=1&cursor={cursor}");
        }
    };

    assert_eq!(pages("/v1/webhooks?").await, [made.id.as_str(), &other.id]);
    let deliveries = |of: &super::NewWebhook, rest: &str| of.path(&format!("/deliveries?{rest}"));
    let all = pages(&deliveries(&made, "")).await;
    let numbers: Vec<i64> = all.iter().map(|id| id.parse().unwrap()).collect();
    assert!(numbers.len() == 3 && numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    let of_both = [
        pages(&deliveries(&made, "status=failed&")).await,
        pages(&deliveries(&other, "status=failed&")).await,
    ];
    assert_eq!(of_both.concat().len(), 1);
    assert_eq!(pages(&deliveries(&made, "status=delivered&")).await.len(), 0);
    let wrong = server.http.get(&deliveries(&made, "status=lost")).await;
    assert_eq!(wrong.code(), (400, "bad_parameter"));
    assert!(all_are("pending")(&server.deliveries(&other, |items| items.len() == 3).await[1..]));
}
