//! What is refused, with which code, and in which order.

use std::time::Duration;

use backends::testing::eventually;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;

use super::http::{Server, a_server, two_mugs};

fn with(pointer: &str, value: Value) -> Value {
    let mut body = two_mugs();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

async fn refuses(server: &Server, body: &Value, status: u16, code: &str, pointer: &str) {
    let told = server.http.post("/v1/orders", body).await;
    assert_eq!(told.code(), (status, code), "{body} got {}", told.body);
    assert_eq!(told.header("content-type"), "application/problem+json");
    let found: Vec<_> = told.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(found, [pointer], "{body}");
}

/// A body, the code of its refusal, and the JSON pointer of the fault.
type Fault = (Value, &'static str, &'static str);

fn faults_of_orders() -> Vec<Fault> {
    let many: Vec<_> = (0..101).map(|n| json!({"sku": format!("s{n}"), "quantity": 1})).collect();
    let cash = json!({"method": "cash"});
    let wallet = json!({"method": "wallet", "token": "x"});
    vec![
        (with("/customer_id", Value::Null), "missing_field", "/customer_id"),
        (with("/customer_id", json!("a b")), "invalid_value", "/customer_id"),
        (with("/currency", json!("ABC")), "unknown_currency", "/currency"),
        (with("/currency", json!("BGN")), "unknown_currency", "/currency"),
        (with("/customer_id", json!("..")), "invalid_value", "/customer_id"),
        (with("/colour", json!("blue")), "unknown_field", "/colour"),
        (with("/note", json!("x".repeat(501))), "invalid_value", "/note"),
        (with("/note", json!("4111 1111 1111 1111")), "card_number_refused", "/note"),
        (with("/items", json!([])), "invalid_value", "/items"),
        (with("/items", json!(many)), "invalid_value", "/items"),
        (with("/payment", cash), "unknown_payment_method", "/payment/method"),
        (with("/payment", json!({"method": "card"})), "missing_field", "/payment/token"),
        (with("/payment", wallet), "invalid_value", "/payment/token"),
        (
            with("/payment/token", json!("4242424242424242")),
            "card_number_refused",
            "/payment/token",
        ),
    ]
}

fn faults_of_lines() -> Vec<Fault> {
    let (quantity, price) = ("/items/0/quantity", "/items/0/unit_price");
    let twice = json!([{"sku": "mug", "quantity": 1}, {"product_id": "mug", "quantity": 1}]);
    let wrap = json!([{"description": "gift wrap", "quantity": 1}]);
    let euros = json!({"amount": "1", "currency": "EUR"});
    let kuna = json!({"amount": "1", "currency": "HRK"});
    vec![
        (with("/items", json!([{"quantity": 1}])), "missing_field", "/items/0/sku"),
        (with("/items", json!([{"sku": "mug"}])), "missing_field", quantity),
        (with(quantity, json!(0)), "invalid_value", quantity),
        (with(quantity, json!(10_001)), "invalid_value", quantity),
        (with(quantity, json!(1.5)), "invalid_value", quantity),
        (with("/items/0/product_id", json!("mug")), "invalid_value", "/items/0/sku"),
        (with(price, json!("0")), "amount_not_positive", price),
        (with(price, json!("-1")), "amount_not_positive", price),
        (with(price, json!("1.000")), "too_many_decimals", price),
        (with(price, json!("1e2")), "invalid_value", price),
        (with(price, json!("007.00")), "invalid_value", price),
        (with(price, euros), "invalid_value", "/items/0/unit_price/currency"),
        (with(price, kuna), "unknown_currency", "/items/0/unit_price/currency"),
        (with("/items", twice), "duplicate_line", "/items/1/product_id"),
        (with("/items", wrap), "missing_field", price),
    ]
}

#[tokio::test]
async fn each_fault_of_a_body_has_its_code_and_its_place() {
    let server = a_server().await;
    for (body, code, pointer) in [faults_of_orders(), faults_of_lines()].concat() {
        refuses(&server, &body, 422, code, pointer).await;
    }

    let two = json!({"customer_id": "a b", "items": [{"sku": "mug", "quantity": 0}]});
    let told = server.http.post("/v1/orders", &two).await;
    assert_eq!(told.body["errors"].as_array().unwrap().len(), 2, "all faults are told at once");
    let number = server.http.post("/v1/orders", &with("/note", json!("4111111111111111"))).await;
    assert!(!number.body.to_string().contains("4111"), "nothing of it is repeated");
}

#[tokio::test]
async fn what_the_catalogue_refuses_is_told_in_order_and_kept() {
    let server = a_server().await;
    let price = with("/items/0/unit_price", json!("19.99"));
    let many = with("/items/0/quantity", json!(1000));
    let mut unknown = price.clone();
    unknown["items"][0]["sku"] = json!("jug");
    let mut dear_and_many = price.clone();
    dear_and_many["items"][0]["quantity"] = json!(1000);

    refuses(&server, &unknown, 422, "unknown_product", "/items/0/sku").await;
    let by_product_id = with("/items", json!([{"product_id": "jug", "quantity": 1}]));
    refuses(&server, &by_product_id, 422, "unknown_product", "/items/0/product_id").await;
    refuses(&server, &dear_and_many, 409, "price_changed", "/items/0/unit_price").await;
    refuses(&server, &many, 409, "insufficient_inventory", "/items/0/quantity").await;
    let mut yen = two_mugs();
    yen["currency"] = json!("JPY");
    yen["items"][0]["unit_price"] = Value::Null;
    refuses(&server, &yen, 422, "invalid_value", "/items/0/sku").await;

    let key = [("idempotency-key", "abc")];
    let first = server.http.post_with("/v1/orders", &key, &many).await;
    let detail = first.body["detail"].as_str().unwrap();
    assert_eq!(detail, "insufficient inventory: 1000 of mug wanted, 5 available");
    let again = server.http.post_with("/v1/orders", &key, &many).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, "true"));
}

#[tokio::test]
async fn every_text_may_have_its_bound_in_characters_of_two_bytes() {
    let server = a_server().await;
    let extra = |name: String| json!([{"description": name, "quantity": 1, "unit_price": "1"}]);
    for (pointer, max) in [("/note", 500), ("/payment/token", 200), ("/items/0/description", 200)] {
        for (count, status) in [(max, 201), (max + 1, 422)] {
            let text = "é".repeat(count);
            let body = match pointer {
                "/items/0/description" => with("/items", extra(text)),
                _ => with(pointer, json!(text)),
            };
            let told = server.http.post("/v1/orders", &body).await;
            assert_eq!(told.status, status, "{count} characters at {pointer}: {}", told.body);
        }
    }
    let placed = server.http.post("/v1/orders", &two_mugs()).await;
    let at = format!("{}/cancel", placed.header("location"));
    let over = server.http.post(&at, &json!({"reason": "é".repeat(201)})).await;
    assert_eq!(over.code(), (422, "invalid_value"));
    let fits = server.http.post(&at, &json!({"reason": "é".repeat(200)})).await;
    assert_eq!(fits.body["cancellation"]["detail"], "é".repeat(200));
}

#[tokio::test]
async fn a_refusal_of_many_lines_tells_twenty_and_counts_the_others() {
    let server = a_server().await;
    let lines: Vec<_> =
        (0..100).map(|n| json!({"sku": format!("jug-{n}"), "quantity": 1})).collect();

    let told = server.http.post("/v1/orders", &with("/items", json!(lines))).await;

    assert_eq!(told.code(), (422, "unknown_product"));
    assert_eq!(told.body["errors"].as_array().unwrap().len(), 20);
    assert_eq!(told.body["errors_omitted"], 80);
}

/// True once the first look at the catalogue has found nothing: its transaction was rolled back,
/// and the pool's session is idle again.
const FIRST_LOOK: &str = "select exists (
    select from pg_stat_activity
    where datname = current_database() and state = 'idle' and query = 'rollback'
)";

#[tokio::test]
async fn a_product_just_listed_can_be_ordered_at_once() {
    let Server { mut shop, http, commands: _commands, .. } = a_server().await;
    let mut body = two_mugs();
    body["items"][0]["sku"] = json!("pot");
    let key = [("idempotency-key", "abc")];

    let mut looks = PgConnection::connect(&shop.database.url()).await.unwrap();
    let listing = async {
        let db = Mutex::new(&mut looks);
        eventually("a first look at the catalogue", Duration::from_secs(10), async || {
            let looked: bool =
                sqlx::query_scalar(FIRST_LOOK).fetch_one(&mut **db.lock().await).await.unwrap();
            if looked { Ok(()) } else { Err("no session has looked") }
        })
        .await;
        shop.list("pot", "29.99", 5).await;
    };
    let (answer, ()) = tokio::join!(http.post_with("/v1/orders", &key, body), listing);

    assert_eq!(answer.status, 201, "it was listed while the catalogue was looked at again");
}
