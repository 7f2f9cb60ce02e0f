//! Journeys over HTTP, through the edge and a batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backends::testing::eventually;
use mailbox::Mailbox;
use order_svc::{
    domain::Method,
    http::{AppState, router},
    pressure::Pressure,
    reactions::Orders,
};
use proto::{SealKeyRing, topic};
use serde_json::{Value, json};
use service_kit::testing::{TestClient, TestResponse, mailbox_without_kafka};
use tokio::task::JoinSet;

use super::{Shop, a_shop, an_id, reactor};

const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The service's HTTP side, with commands but without Kafka.
pub(crate) struct Server {
    pub(crate) shop: Shop,
    pub(crate) mailbox: Mailbox<Orders>,
    pub(crate) http: TestClient,
    pub(crate) commands: JoinSet<anyhow::Result<()>>,
    pub(crate) pressure: Pressure,
}

pub(crate) async fn a_server() -> Server {
    let shop = a_shop().await;
    let url = shop.database.url();
    let reactor = Arc::new(reactor(&shop.waiters));
    let (mailbox, commands) =
        mailbox_without_kafka(order_svc::NAME, &[topic::ORDERS], &url, reactor).await;
    let pool = chassis::database::connect_pool(&url, 8).await.unwrap();
    let seal_key = SealKeyRing::parse(SEAL_KEY).unwrap();
    let (waiters, pressure) = (shop.waiters.clone(), Pressure::default());
    let (seen, closes) = (mailbox.clone(), pressure.clone());
    let router = router(AppState {
        pool,
        mailbox: seen,
        waiters,
        pressure: closes,
        seal_key,
        pay_within: time::Duration::minutes(15),
    });
    let http = TestClient::new(order_svc::NAME, router);
    Server { shop, mailbox, http, commands, pressure }
}

pub(crate) fn id_of(placed: &TestResponse) -> proto::OrderId {
    proto::OrderId::parse(placed.body["id"].as_str().unwrap()).unwrap()
}

pub(crate) fn two_mugs() -> Value {
    json!({"customer_id": "customer-456", "note": "leave at the door",
           "items": [{"sku": "mug", "quantity": 2, "unit_price": "29.99"}],
           "payment": {"method": "card", "token": "tok_visa"}})
}

#[tokio::test]
async fn an_order_is_placed_and_read() {
    let server = a_server().await;

    let placed = server.http.post("/v1/orders", &two_mugs()).await;

    assert_eq!(placed.status, 201);
    let order = &placed.body;
    assert_eq!(
        (&order["status"], &order["revision"], &order["version"]),
        (&json!("pending"), &json!(1), &json!(1))
    );
    assert_eq!(order["total_amount"], json!({"amount": "59.98", "currency": "USD"}));
    assert_eq!(order["payment"], json!({"method": "card", "payment_id": null}));
    assert_eq!((&order["cancellation"], &order["shipment"]), (&Value::Null, &Value::Null));
    let line = &order["items"][0];
    assert_eq!((&line["line"], &line["name"]), (&json!(1), &json!("a mug")));
    let at = format!("/v1/orders/{}", id_of(&placed));
    assert_eq!(placed.header("location"), at);

    let read = server.http.get(&at).await;
    assert_eq!((read.status.as_u16(), &read.body), (200, order));
    assert_eq!(read.header("etag"), placed.header("etag"));
    let known = [("if-none-match", placed.header("etag"))];
    assert_eq!(server.http.ask("GET", &at, &known, None).await.status, 304);
    assert_eq!(server.http.get(&format!("{at}/status")).await.body["status"], "pending");
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer_and_another_body_is_refused() {
    let server = a_server().await;
    let key = [("idempotency-key", "abc")];

    let first = server.http.post_with("/v1/orders", &key, &two_mugs()).await;
    let second = server.http.post_with("/v1/orders", &key, &two_mugs()).await;
    let mut other = two_mugs();
    other["note"] = json!("at the back");
    let third = server.http.post_with("/v1/orders", &key, &other).await;

    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(
        (first.header("idempotency-replayed"), second.header("idempotency-replayed")),
        ("", "true")
    );
    assert_eq!(third.code(), (422, "idempotency_key_reused"));
    assert_eq!(server.http.get("/v1/orders").await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_cancel_tells_the_order_and_a_stale_one_is_refused() {
    let mut server = a_server().await;
    let placed = server.http.post("/v1/orders", &two_mugs()).await;
    let at = format!("/v1/orders/{}", id_of(&placed));
    let reserved = server.shop.reserved(id_of(&placed));
    server.shop.hear([reserved]).await;

    let stale = [("if-match", placed.header("etag"))];
    assert_eq!(server.http.ask("DELETE", &at, &stale, None).await.code(), (412, "stale"));
    let present = server.http.get(&at).await;
    let fresh = [("if-match", present.header("etag"))];
    let deleted = server.http.ask("DELETE", &at, &fresh, None).await;
    assert_eq!((deleted.status.as_u16(), &deleted.body["status"]), (200, &json!("cancelled")));
    let reason = json!({"reason": "too late"});
    let again = server.http.post(&format!("{at}/cancel"), &reason).await;
    assert_eq!((again.status, &again.body), (deleted.status, &deleted.body));
    let cancellation = &again.body["cancellation"];
    assert_eq!(
        (&cancellation["reason"], &cancellation["by"]),
        (&json!("customer_request"), &json!("anonymous"))
    );

    let next = server.http.post("/v1/orders", &two_mugs()).await;
    let told = server.http.post(&format!("/v1/orders/{}/cancel", id_of(&next)), &reason).await;
    assert_eq!(told.body["cancellation"]["detail"], "too late");
    let bare = server.http.ask("POST", &format!("{at}/cancel"), &[], None).await;
    assert_eq!(bare.status, 200, "a reason is optional");
}

#[tokio::test]
async fn a_request_may_wait_for_the_outcome() {
    let mut server = a_server().await;
    let placed = server.http.post("/v1/orders", &two_mugs()).await;
    let (id, at) = (id_of(&placed), format!("/v1/orders/{}", id_of(&placed)));
    let prefer = [("prefer", "wait=20")];

    let answers = [server.shop.reserved(id), server.shop.captured(id)];
    let started = Instant::now();
    let (http, path) = (server.http.clone(), at.clone());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { http.ask("GET", &path, &prefer, None).await.body });
    server.shop.hear(answers).await;
    assert_eq!(waiting.join_next().await.unwrap().unwrap()["status"], "confirmed");
    assert!(started.elapsed() < Duration::from_secs(10));
    let applied = server.http.ask("GET", &at, &prefer, None).await;
    assert_eq!(applied.header("preference-applied"), "wait=20");

    let other = server.http.post("/v1/orders", &two_mugs()).await;
    let at = format!("/v1/orders/{}", id_of(&other));
    let (http, path) = (server.http.clone(), at.clone());
    waiting.spawn(async move { http.ask("GET", &path, &prefer, None).await.body });
    server.http.ask("DELETE", &at, &[], None).await;
    assert_eq!(waiting.join_next().await.unwrap().unwrap()["status"], "cancelled");
    assert!(started.elapsed() < Duration::from_secs(10), "a cancellation is an outcome, too");

    let short = [("prefer", "wait=1")];
    let open = server.http.post_with("/v1/orders", &short, &two_mugs()).await;
    assert_eq!((open.status.as_u16(), &open.body["status"]), (201, &json!("pending")));
    assert_eq!(open.header("location"), format!("/v1/orders/{}", id_of(&open)));
    assert_eq!(open.header("preference-applied"), "wait=1");
}

/// Kept is the answer at the decision, whatever the first request waited for.
#[tokio::test]
async fn a_repetition_tells_the_first_answer_and_one_that_waits_the_order_as_it_is() {
    let mut server = a_server().await;
    let (key, prefer) = (("idempotency-key", "abc"), ("prefer", "wait=20"));
    let http = server.http.clone();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { http.post_with("/v1/orders", &[key, prefer], two_mugs()).await });
    let id = eventually("the order", Duration::from_secs(20), async || {
        let list = server.http.get("/v1/orders").await.body;
        let id = list["items"][0]["id"].as_str().and_then(|id| proto::OrderId::parse(id).ok());
        id.ok_or(list)
    })
    .await;
    let answers = [server.shop.reserved(id), server.shop.captured(id)];
    server.shop.hear(answers).await;

    let first = waiting.join_next().await.unwrap().unwrap();
    let again = server.http.post_with("/v1/orders", &[key], two_mugs()).await;
    let waited = server.http.post_with("/v1/orders", &[key, prefer], two_mugs()).await;

    for (answer, status, replayed, applied) in [
        (&first, "confirmed", "", "wait=20"),
        (&again, "pending", "true", ""),
        (&waited, "confirmed", "true", "wait=20"),
    ] {
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (201, &json!(status)));
        assert_eq!(answer.header("idempotency-replayed"), replayed);
        assert_eq!(answer.header("preference-applied"), applied);
        assert_eq!(answer.header("location"), format!("/v1/orders/{id}"));
    }
    assert_eq!((waited.header("etag"), &waited.body), (first.header("etag"), &first.body));
}

#[tokio::test]
async fn the_story_of_an_order_is_told_whole() {
    let mut server = a_server().await;
    let placed = server.http.post("/v1/orders", &two_mugs()).await;
    let (id, at) = (id_of(&placed), format!("/v1/orders/{}", id_of(&placed)));
    let messages = [server.shop.reserved(id), server.shop.declined(id)];
    server.shop.hear(messages).await;

    let events = server.http.get(&format!("{at}/events")).await.body;
    let names: Vec<_> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let said = [
        "orders.v1.OrderPlaced",
        "stock.v1.StockReserved",
        "payments.v1.PaymentDeclined",
        "orders.v1.OrderCancelled",
    ];
    assert_eq!(names, said.map(|name| format!("shop.{name}")));
    assert_eq!(events["items"][1]["source"], "/shop/inventory-svc");
    assert_eq!(events["items"][2]["data"]["code"], "card_declined");
    assert_eq!(events["items"][3]["data"]["order_id"], id.to_string());
    assert!(!events.to_string().contains("tok_visa"));
    let first = server.http.get(&format!("{at}/events?limit=3")).await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.http.get(&format!("{at}/events?limit=3&cursor={cursor}")).await.body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));

    let saga = server.http.get(&format!("{at}/saga")).await.body;
    assert_eq!((&saga["status"], &saga["order_id"]), (&json!("compensating"), &json!(id)));
    assert_eq!(saga["completed_steps"], json!(["inventory_reserved"]));
    assert_eq!(saga["steps"][1]["detail"], "card_declined");
    assert_eq!(
        (&saga["expected"]["step"], &saga["expected"]["late"]),
        (&json!("inventory_released"), &json!(false))
    );
    assert_eq!(saga["trace_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let mut server = a_server().await;
    for _ in 0..3 {
        server.http.post("/v1/orders", &two_mugs()).await;
    }
    let deferred = server.shop.place(Method::Deferred).await;
    server.shop.cancel(deferred).await;

    let first = server.http.get("/v1/customers/customer-456/orders?limit=3").await.body;
    assert_eq!(first["items"][0]["id"], deferred.to_string(), "the newest first");
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server
        .http
        .get(&format!("/v1/customers/customer-456/orders?limit=3&cursor={cursor}"))
        .await
        .body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    for (query, found) in [
        ("status=cancelled", 1),
        ("customer_id=nobody", 0),
        ("customer_id=customer-456&status=pending", 3),
        ("created_from=2020-01-01T00:00:00Z&created_to=2021-01-01T00:00:00Z", 0),
        ("created_from=2020-01-01T00:00:00Z", 4),
    ] {
        let list = server.http.get(&format!("/v1/orders?{query}")).await.body;
        assert_eq!(list["items"].as_array().unwrap().len(), found, "{query}");
    }
    for query in ["limit=0", "limit=201", "status=lost", "created_from=today", "wrong=1"] {
        let refused = server.http.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(refused.code(), (400, "bad_parameter"), "{query}");
    }
    assert_eq!(server.http.get("/v1/orders?cursor=x").await.code(), (400, "bad_cursor"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = a_server().await;
    for path in [
        format!("/v1/orders/{}", an_id()),
        format!("/v1/orders/{}/events", an_id()),
        "/v1/orders/1".to_owned(),
        "/v1/orders/1/saga".to_owned(),
        "/v1/customers/a%20b/orders".to_owned(),
        "/v1/customers/../orders".to_owned(),
        "/v1/customers/%2e%2e/orders".to_owned(),
        "/v1/orders/%ff".to_owned(),
        "/v1/parked/order-svc/shop.stock.v1/x".to_owned(),
    ] {
        assert_eq!(server.http.get(&path).await.code(), (404, "not_found"), "{path}");
    }
    let wrong = server.http.ask("PATCH", "/v1/orders", &[], None).await;
    assert_eq!(
        (wrong.code(), wrong.header("allow")),
        ((405, "method_not_allowed"), "GET, POST, HEAD")
    );
    assert_eq!(server.http.get("/v1/parked").await.body, json!({"items": [], "next_cursor": null}));
}
