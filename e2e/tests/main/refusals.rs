//! Bad input of every kind gets its code, at the gateway as at the services; nothing panics and nothing is kept.

use e2e::Shop;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Method, path, body, status, code.
type Case = (&'static str, &'static str, &'static str, u16, &'static str);

const CASES: &[Case] = &[
    ("POST", "/v1/orders", "{", 400, "malformed_json"),
    ("POST", "/v1/orders", r#"{"a":1,"a":2}"#, 400, "malformed_json"),
    ("POST", "/v1/orders", "[]", 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[],"colour":"red"}"#, 422, "unknown_field"),
    ("POST", "/v1/orders", r#"{"items":[{"sku":"product-00001","quantity":1}]}"#, 422, "missing_field"),
    ("POST", "/v1/orders", r#"{"customer_id":"c"}"#, 422, "missing_field"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[]}"#, 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":0}]}"#, 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":10001}]}"#, 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":1.5}]}"#, 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c d","items":[{"sku":"product-00001","quantity":1}]}"#, 422, "invalid_value"),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[{"sku":"no-such-thing","quantity":1}]}"#, 422, "unknown_product"),
    (
        "POST",
        "/v1/orders",
        r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":1},{"sku":"product-00001","quantity":2}]}"#,
        422,
        "duplicate_line",
    ),
    (
        "POST",
        "/v1/orders",
        r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":1,"unit_price":"0.01"}]}"#,
        409,
        "price_changed",
    ),
    (
        "POST",
        "/v1/orders",
        r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":1,"unit_price":"1.999"}]}"#,
        422,
        "too_many_decimals",
    ),
    ("POST", "/v1/orders", r#"{"customer_id":"c","items":[{"sku":"sold-out","quantity":1}]}"#, 409, "insufficient_inventory"),
    (
        "POST",
        "/v1/orders",
        r#"{"customer_id":"c","currency":"XXQ","items":[{"sku":"product-00001","quantity":1}]}"#,
        422,
        "unknown_currency",
    ),
    (
        "POST",
        "/v1/orders",
        r#"{"customer_id":"c","items":[{"sku":"product-00001","quantity":1}],"payment":{"method":"barter"}}"#,
        422,
        "unknown_payment_method",
    ),
    ("GET", "/v1/orders/not-an-id", "", 404, "not_found"),
    ("GET", "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f", "", 404, "not_found"),
    ("GET", "/v1/orders/01932C1E-5A4B-7C3D-8E2F-1A2B3C4D5E6F", "", 404, "not_found"),
    ("DELETE", "/v1/orders/01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f", "", 404, "not_found"),
    ("GET", "/v1/orders?limit=0", "", 400, "bad_parameter"),
    ("GET", "/v1/orders?limit=201", "", 400, "bad_parameter"),
    ("GET", "/v1/orders?cursor=nonsense", "", 400, "bad_cursor"),
    ("GET", "/v1/orders?status=lost", "", 400, "bad_parameter"),
    ("PATCH", "/v1/orders", "", 405, "method_not_allowed"),
    ("GET", "/v1/nothing", "", 404, "not_found"),
    ("POST", "/v1/payments", r#"{"order_id":"01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f","payment_method":{"type":"wallet"}}"#, 404, "not_found"),
    (
        "POST",
        "/v1/payments",
        r#"{"order_id":"01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f","payment_method":{"type":"credit_card","card_number":"5555555555554444","expiry":"12/29","cvv":"1"}}"#,
        422,
        "card_number_refused",
    ),
    ("POST", "/v1/accounts/customer-0001", r#"{"currency":"USD"}"#, 409, "account_exists"),
    ("POST", "/v1/accounts/customer-0001/deposit", r#"{"amount":"0.00"}"#, 422, "amount_not_positive"),
    ("POST", "/v1/accounts/customer-0001/deposit", r#"{"amount":"1e3"}"#, 422, "invalid_value"),
    ("POST", "/v1/accounts/customer-0001/deposit", r#"{"amount":"1.001"}"#, 422, "too_many_decimals"),
    ("POST", "/v1/accounts/nobody/deposit", r#"{"amount":"1.00"}"#, 404, "not_found"),
    ("GET", "/v1/products/no-such-thing", "", 404, "not_found"),
    ("GET", "/v1/products/no-such-thing/stock", "", 404, "not_found"),
    ("POST", "/v1/products/product-00001/stock", r#"{"warehouse":"moon","delta":1,"reason":"x"}"#, 422, "invalid_value"),
    ("PUT", "/v1/products/product-00001", r#"{"name":"Mug","price":{"amount":"-1.00","currency":"USD"}}"#, 422, "amount_not_positive"),
    ("GET", "/v1/parked?service=nobody", "", 400, "bad_parameter"),
    ("POST", "/v1/parked/order-svc/shop.stock.v1/none/release", "{}", 404, "not_found"),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_of_every_kind_gets_its_code() {
    let shop = Shop::open(&[]).await.unwrap();
    let client = reqwest::Client::new();
    let gateway = shop.driven().stack().unwrap().gateway();
    let mut wrong = Vec::new();
    for (method, path, body, status, code) in CASES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client.request(method.clone(), format!("{gateway}{path}"));
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(*body);
        }
        let answer = request.send().await.unwrap();
        let (got, kind) = (answer.status().as_u16(), answer.headers().get("content-type").cloned());
        let problem: Value = answer.json().await.unwrap_or_default();
        let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
        if got != *status || problem["code"] != *code || !is_problem {
            wrong.push(format!("{method} {path} {body}\n  wanted {status} {code}\n  got {got} {problem}"));
        }
    }
    wrong.extend(odd_requests(&client, &gateway).await);
    assert!(wrong.is_empty(), "{} refusals are wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(shop.api.list("/v1/customers/c/orders").await.unwrap().is_empty());
    shop.close().await.unwrap();
}

/// What a table cannot say.
async fn odd_requests(client: &reqwest::Client, gateway: &str) -> Vec<String> {
    let orders = format!("{gateway}/v1/orders");
    let json = || client.post(&orders).header("content-type", "application/json");
    let cases = [
        ("a plain body", client.post(&orders).body("hello"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("a large body", json().body(" ".repeat(70_000)), StatusCode::PAYLOAD_TOO_LARGE),
        ("a bad key", json().header("idempotency-key", "").body("{}"), StatusCode::BAD_REQUEST),
        ("NUL", json().body("{\"customer_id\":\"\\u0000\",\"items\":[]}"), StatusCode::UNPROCESSABLE_ENTITY),
        ("not UTF-8", json().body(vec![b'{', 0xff, b'}']), StatusCode::BAD_REQUEST),
        ("deep", json().body("[".repeat(1000)), StatusCode::BAD_REQUEST),
    ];
    let mut wrong = Vec::new();
    for (what, request, status) in cases {
        let answer = request.send().await.unwrap();
        if answer.status() != status {
            wrong.push(format!("{what}: wanted {status}, got {} {}", answer.status(), answer.text().await.unwrap()));
        }
    }
    wrong
}
