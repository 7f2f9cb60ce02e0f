//! Requests and their answers, through the edge and a batch.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use inventory_svc::http::{AppState, router};
use proto::topic;
use serde_json::json;
use service_kit::testing::{TestClient, TestResponse, mailbox_without_kafka};
use tokio::task::JoinSet;

use super::{Shop, a_shop, an_order, inventory};

/// The service's HTTP side, with commands but without Kafka.
pub(crate) struct Server {
    pub(crate) shop: Shop,
    pub(crate) http: TestClient,
    _commands: JoinSet<anyhow::Result<()>>,
}

pub(crate) async fn a_server() -> Server {
    let shop = a_shop().await;
    let topics = [topic::STOCK, topic::CATALOGUE];
    let (mailbox, commands) = mailbox_without_kafka(
        inventory_svc::NAME,
        &topics,
        &shop.database.url(),
        Arc::new(inventory()),
    )
    .await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let http = TestClient::new(inventory_svc::NAME, router(AppState { pool, mailbox }));
    Server { shop, http, _commands: commands }
}

impl Server {
    pub(crate) async fn list_mug(&self) -> TestResponse {
        self.http
            .put(
                "/v1/products/mug",
                json!({"name": "Blue mug", "price": {"amount": "29.99", "currency": "USD"}}),
            )
            .await
    }
}

#[tokio::test]
async fn a_product_is_listed_changed_and_seen() {
    let server = a_server().await;

    let listed = server.list_mug().await;
    assert_eq!(listed.status, 201);
    assert_eq!(listed.headers["location"], "/v1/products/mug");
    assert_eq!(
        listed.body,
        json!({"sku": "mug", "name": "Blue mug", "price": {"amount": "29.99", "currency": "USD"},
               "available": 0, "version": 1})
    );

    let changed = server.http.put("/v1/products/mug", json!({"name": "Mug", "price": "30"})).await;
    assert_eq!((changed.status.as_u16(), &changed.body["version"]), (200, &json!(2)));
    let same = server.http.put("/v1/products/mug", json!({"name": "Mug", "price": 30})).await;
    assert_eq!((same.status.as_u16(), &same.body["version"]), (200, &json!(2)));

    let seen = server.http.get("/v1/products/mug").await;
    assert_eq!(seen.body, changed.body);
    assert_eq!(seen.headers["etag"], changed.headers["etag"]);
    let all = server.http.get("/v1/products?q=mu&limit=1").await;
    assert_eq!(all.body, json!({"items": [seen.body], "next_cursor": null}));
}

#[tokio::test]
async fn a_stale_change_is_refused_and_an_unchanged_product_not_sent_again() {
    let server = a_server().await;
    let etag = server.list_mug().await.headers["etag"].clone();
    server.http.post("/v1/products/mug/stock", json!({"warehouse": "main", "delta": 1})).await;

    let body = json!({"name": "Mug", "price": "30"}).to_string();
    let request = Request::put("/v1/products/mug")
        .header("content-type", "application/json")
        .header("if-match", etag)
        .body(Body::from(body));
    assert_eq!(server.http.send(request.unwrap()).await.code(), (412, "stale"));

    let etag = server.http.get("/v1/products/mug").await.headers["etag"].clone();
    let request =
        Request::get("/v1/products/mug").header("if-none-match", etag).body(Body::empty());
    assert_eq!(server.http.send(request.unwrap()).await.status, 304);
}

#[tokio::test]
async fn stock_comes_and_goes_but_never_below_what_is_reserved() {
    let mut server = a_server().await;
    server.list_mug().await;
    let path = "/v1/products/mug/stock";

    let told = server
        .http
        .post(path, json!({"warehouse": "main", "delta": 50, "reason": "received"}))
        .await;
    assert_eq!(
        told.body,
        json!({"sku": "mug", "on_hand": 50, "reserved": 0, "available": 50, "sold": 0,
        "warehouses": [
            {"warehouse": "main", "on_hand": 50, "reserved": 0, "available": 50}
        ]})
    );
    let placed = server.shop.placed(an_order(), &[("mug", 20)]);
    server.shop.hear([placed]).await;

    let told = server.http.post(path, json!({"warehouse": "main", "delta": -31})).await;
    assert_eq!(told.code(), (409, "stock_reserved"));
    let told = server.http.post(path, json!({"warehouse": "main", "delta": -30})).await;
    assert_eq!((&told.body["on_hand"], &told.body["available"]), (&json!(20), &json!(0)));
    assert_eq!(server.http.get(path).await.body, told.body);
    let told = server.http.post(path, json!({"warehouse": "moon", "delta": 1})).await;
    assert_eq!(told.code(), (422, "invalid_value"));
    assert_eq!(told.body["errors"][0]["pointer"], "/warehouse");
    let told =
        server.http.post("/v1/products/pot/stock", json!({"warehouse": "main", "delta": 1})).await;
    assert_eq!(told.code(), (404, "not_found"));
}

#[tokio::test]
async fn a_repeated_key_adds_stock_once() {
    let server = a_server().await;
    server.list_mug().await;
    let path = "/v1/products/mug/stock";
    let body = json!({"warehouse": "main", "delta": 50});

    let first = server.http.post_with(path, &[("idempotency-key", "k-1")], &body).await;
    let again = server.http.post_with(path, &[("idempotency-key", "k-1")], &body).await;
    let other = server
        .http
        .post_with(path, &[("idempotency-key", "k-1")], &json!({"warehouse": "main", "delta": 1}))
        .await;

    assert_eq!((first.status.as_u16(), &first.body["on_hand"]), (200, &json!(50)));
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(other.code(), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_line_is_split_over_places_by_priority() {
    let mut server = a_server().await;
    server.list_mug().await;
    let told =
        server.http.put("/v1/warehouses/attic", json!({"name": "Attic", "priority": 0})).await;
    assert_eq!(told.status, 201);
    assert_eq!(told.body, json!({"id": "attic", "name": "Attic", "priority": 0}));
    for warehouse in ["main", "attic"] {
        let body = json!({"warehouse": warehouse, "delta": 3});
        assert_eq!(server.http.post("/v1/products/mug/stock", body).await.status, 200);
    }

    let order = an_order();
    let placed = server.shop.placed(order, &[("mug", 4)]);
    server.shop.hear([placed]).await;

    let found = server.http.get(&format!("/v1/reservations?order_id={order}")).await;
    let reservation = &found.body["items"][0];
    assert_eq!(reservation["status"], "held");
    assert_eq!(
        reservation["items"],
        json!([{"sku": "mug", "quantity": 3, "warehouse": "attic"},
               {"sku": "mug", "quantity": 1, "warehouse": "main"}])
    );
    let id = reservation["id"].as_str().unwrap();
    assert_eq!(server.http.get(&format!("/v1/reservations/{id}")).await.body, *reservation);
    let found = server.http.get("/v1/warehouses").await;
    assert_eq!(found.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn availability_is_told_for_all_items_together() {
    let server = a_server().await;
    server.list_mug().await;
    server.http.post("/v1/products/mug/stock", json!({"warehouse": "main", "delta": 3})).await;

    let wanted = json!({"items": [{"sku": "mug", "quantity": 2}, {"sku": "pot", "quantity": 1}]});
    let told = server.http.post("/v1/availability", wanted.clone()).await;
    assert_eq!(
        told.body,
        json!({"available": false, "items": [{"sku": "mug", "wanted": 2, "available": 3},
                                             {"sku": "pot", "wanted": 1, "available": 0}]})
    );
    let keyed =
        server.http.post_with("/v1/availability", &[("idempotency-key", "k")], &wanted).await;
    assert_eq!(keyed.body, told.body);
}

#[tokio::test]
async fn bad_input_gets_its_code() {
    let server = a_server().await;
    server.list_mug().await;
    let product = "/v1/products/mug";

    for (body, code, pointer) in [
        (json!({"name": "Mug"}), "missing_field", "/price"),
        (json!({"name": "Mug", "price": "1.999"}), "too_many_decimals", "/price"),
        (json!({"name": "Mug", "price": "0"}), "amount_not_positive", "/price"),
        (json!({"name": "Mug", "price": "1", "x": 1}), "unknown_field", "/x"),
        (json!({"name": "", "price": "1"}), "invalid_value", "/name"),
        (
            json!({"name": "M", "price": {"amount": "1", "currency": "ZZZ"}}),
            "unknown_currency",
            "/price/currency",
        ),
        (json!({"name": "M", "price": "007.00"}), "invalid_value", "/price"),
    ] {
        let told = server.http.put(product, body).await;
        assert_eq!(told.code(), (422, code));
        assert_eq!(told.body["errors"][0]["pointer"], pointer);
    }
    let none = json!({"items": []});
    assert_eq!(server.http.post("/v1/availability", none).await.code(), (422, "invalid_value"));
    for (path, code) in [
        ("/v1/products/no%20sku", (404, "not_found")),
        ("/v1/products/pot", (404, "not_found")),
        ("/v1/products?limit=0", (400, "bad_parameter")),
        ("/v1/products?cursor=x", (400, "bad_cursor")),
        // The cursors are ["products","\u0000"] and ["warehouses","a b"].
        ("/v1/products?cursor=WyJwcm9kdWN0cyIsIlx1MDAwMCJd", (400, "bad_cursor")),
        ("/v1/warehouses?cursor=WyJ3YXJlaG91c2VzIiwiYSBiIl0", (400, "bad_cursor")),
        ("/v1/products/%c3%28", (404, "not_found")),
        ("/v1/products/..", (404, "not_found")),
        ("/v1/reservations", (400, "bad_parameter")),
        ("/v1/reservations/7", (404, "not_found")),
        ("/v1/parked?service=nobody", (400, "bad_parameter")),
        ("/v1/availability", (405, "method_not_allowed")),
    ] {
        assert_eq!(server.http.get(path).await.code(), code, "{path}");
    }
}

#[tokio::test]
async fn every_text_may_have_its_bound_in_characters_of_two_bytes() {
    let server = a_server().await;
    for (count, listed, changed) in [(200, 201, 200), (201, 422, 422)] {
        let text = "é".repeat(count);
        let product = json!({"name": text, "price": "1"});
        let path = "/v1/products/mug";
        assert_eq!(server.http.put(path, product).await.status, listed);
        let warehouse = json!({"name": text, "priority": 1});
        assert_eq!(server.http.put("/v1/warehouses/attic", warehouse).await.status, listed);
        let received = json!({"warehouse": "main", "delta": 1, "reason": text});
        assert_eq!(server.http.post(&format!("{path}/stock"), received).await.status, changed);
        server.list_mug().await;
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    let server = a_server().await;
    // An order has one reservation, so its list has one page and gives no cursor.
    let of_order = format!("/v1/reservations?order_id={}", an_order());
    assert_eq!(server.http.get(&of_order).await.body["items"], json!([]));
    let of_order = format!("{of_order}&");
    for (path, kind) in [
        ("/v1/products?", "products"),
        ("/v1/warehouses?", "warehouses"),
        (of_order.as_str(), "reservations"),
    ] {
        for place in [json!("\0"), json!("a b"), json!(u64::MAX), json!(i64::MAX), json!(null)] {
            let cursor = chassis::http::write_cursor(kind, &place);
            let told = server.http.get(&format!("{path}cursor={cursor}")).await;
            assert_eq!(told.code(), (400, "bad_cursor"), "{path} {place}");
        }
    }
}

#[tokio::test]
async fn a_key_is_bound_to_the_path_however_it_is_encoded() {
    let server = a_server().await;
    server.list_mug().await;
    let body = json!({"warehouse": "main", "delta": 5});

    let first =
        server.http.post_with("/v1/products/mug/stock", &[("idempotency-key", "k")], &body).await;
    let again =
        server.http.post_with("/v1/products/%6dug/stock", &[("idempotency-key", "k")], &body).await;

    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, first.body, "five pieces, not ten");
}

#[tokio::test]
async fn a_parked_key_is_listed_shown_dropped_and_released() {
    let mut server = a_server().await;
    let order = an_order();
    let mut poison = server.shop.placed(order, &[("mug", 1)]);
    poison.payload = vec![0xff];
    let cancelled = server.shop.cancelled(order);
    assert_eq!(server.shop.mailbox.hear(vec![poison, cancelled]).await, 1);

    let listed = server.http.get("/v1/parked?service=inventory-svc").await;
    let key = &listed.body["items"][0];
    assert_eq!((&key["messages"], &key["order_id"]), (&json!(2), &json!(order.to_string())));
    let path = format!("/v1/parked/inventory-svc/shop.orders.v1/{order}");
    let shown = server.http.get(&path).await;
    assert_eq!(shown.body["items"][1]["data"]["order_id"], order.to_string());

    let told = server.http.post(&format!("{path}/release"), json!({})).await;
    assert_eq!(told.code().0, 422);
    let told = server.http.post(&format!("{path}/discard"), json!({"reason": "poison"})).await;
    assert_eq!(told.status, 200);
    let told = server.http.post(&format!("{path}/release"), json!({})).await;
    assert_eq!(told.body, json!({"released": 1}));
    assert_eq!(server.shop.said_of_orders().await, ["StockReleased"]);
    assert_eq!(server.http.get(&path).await.code(), (404, "not_found"));
}
