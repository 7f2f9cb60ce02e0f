//! What every request passes, whatever its handler does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request},
    http::{StatusCode, header},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, Health, Problem, TraceParent,
    body::JsonBody,
    http::{self, Edge, IdempotencyKeyHeader, Params},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn health() -> Health {
    Health::new("test-svc", Arc::new(AtomicBool::new(true)), CancellationToken::new())
}

fn routes() -> Router {
    Router::new()
        .route("/v1/orders", post(place).get(listed))
        .route("/v1/names/{name}", get(async |name: Path<String>| name.0))
        .route("/v1/trace", get(async |trace: TraceParent| trace.to_string()))
        .route("/v1/panic", get(panics))
        .route("/v1/kept", get(async || http::answer(409, [("x-kept", "1".to_owned())], kept())))
        .route("/v1/keyed", post(async |_: IdempotencyKeyHeader| "done"))
}

async fn place(body: JsonBody) -> Result<&'static str, Problem> {
    body.read(|fields| fields.integer("quantity", 1..=12))?;
    Err(Problem::new(
        Code::InsufficientInventory,
        "insufficient inventory: 1000 of product-789 wanted, 12 available",
    )
    .at("/items/0/quantity", Code::InsufficientInventory, "12 available"))
}

async fn listed(mut params: Params) -> Result<&'static str, Problem> {
    params.take_page()?;
    Ok("listed")
}

#[expect(clippy::panic, reason = "what it is for")]
async fn panics() -> &'static str {
    panic!("a bug")
}

fn kept() -> Vec<u8> {
    Problem::new(Code::PriceChanged, "it did").with("price", json!("5.00")).to_parts().1
}

async fn send(request: Request) -> Response {
    Edge::new(health()).answer(routes(), request).await
}

fn post_json(path: &str, body: impl Into<Body>) -> Request {
    let request =
        Request::post(path).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    request.body(body.into()).unwrap()
}

fn get_request(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn read(response: Response) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn code(request: Request) -> (u16, String) {
    let response = send(request).await;
    let status = response.status().as_u16();
    let problem = read(response).await;
    assert_eq!(problem["status"].to_string(), status.to_string());
    assert_eq!(problem["type"], format!("/problems/{}", problem["code"].as_str().unwrap()));
    assert_eq!(problem["trace_id"].as_str().unwrap().len(), 32);
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_problem_has_the_shape_of_the_contract() {
    let mut request = post_json("/v1/orders", r#"{"quantity":3}"#);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());

    let response = send(request).await;

    assert_eq!(response.status(), StatusCode::CONFLICT);
    let traceresponse = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    assert!(traceresponse.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_ne!(traceresponse, parent);
    assert_eq!(
        read(response).await,
        json!({"type":"/problems/insufficient_inventory","title":"Insufficient inventory",
            "status":409,
            "detail":"insufficient inventory: 1000 of product-789 wanted, 12 available",
            "instance":"/v1/orders","code":"insufficient_inventory",
            "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",
            "errors":[{"pointer":"/items/0/quantity","code":"insufficient_inventory",
                "detail":"12 available"}]})
    );
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    let not_json = Request::post("/v1/orders").header(header::CONTENT_TYPE, "text/plain");
    let untyped = Request::post("/v1/orders").body("{}".into()).unwrap();
    let announced = Request::post("/v1/orders").header(header::CONTENT_LENGTH, 65_537);
    let chunked = Body::from_stream(chunks(65_537));
    let cases = [
        (get_request("/v1/nothing"), (404, "not_found")),
        (Request::put("/v1/orders").body(Body::empty()).unwrap(), (405, "method_not_allowed")),
        (announced.body(Body::empty()).unwrap(), (413, "body_too_large")),
        (post_json("/v1/orders", chunked), (413, "body_too_large")),
        (not_json.body("{}".into()).unwrap(), (415, "unsupported_media_type")),
        (untyped, (415, "unsupported_media_type")),
        (post_json("/v1/orders", "{"), (400, "malformed_json")),
        (Request::post("/v1/orders").body(Body::empty()).unwrap(), (400, "malformed_json")),
        (post_json("/v1/orders", "{}"), (422, "missing_field")),
        (get_request("/v1/orders?limit=%FF"), (400, "bad_parameter")),
        (get_request("/v1/orders?limit=%2B5"), (400, "bad_parameter")),
        (get_request("/v1/names/%ff"), (404, "not_found")),
        (get_request("/v1/names/%c3%28"), (404, "not_found")),
        (get_request("/v1/names/%ed%a0%80"), (404, "not_found")),
        (get_request("/v1/names/a%00"), (404, "not_found")),
        (get_request("/v1/panic"), (500, "internal")),
    ];
    for (request, (status, name)) in cases {
        let what = format!("{} {}", request.method(), request.uri());
        assert_eq!(code(request).await, (status, name.to_owned()), "{what}");
    }
}

fn chunks(bytes: usize) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> {
    futures::stream::iter(
        (0..bytes).step_by(1024).map(move |at| Ok(vec![b' '; 1024.min(bytes - at)])),
    )
}

#[tokio::test]
async fn a_wrong_method_learns_the_right_ones() {
    let response = send(Request::put("/v1/orders").body(Body::empty()).unwrap()).await;

    let allow = response.headers()[header::ALLOW].to_str().unwrap().to_owned();
    let mut methods: Vec<_> = allow.split(',').map(str::trim).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_kept_answer_gets_this_requests_path_and_trace() {
    let response = send(get_request("/v1/kept")).await;

    assert_eq!(response.headers()["x-kept"], "1");
    let problem = read(response).await;
    assert_eq!(problem["instance"], "/v1/kept");
    assert_eq!(problem["price"], "5.00");
    assert!(problem["trace_id"].is_string());
}

#[tokio::test]
async fn a_trace_and_a_request_id_are_always_there() {
    let mut request = get_request("/v1/trace");
    request.headers_mut().insert("traceparent", "nonsense".parse().unwrap());
    request.headers_mut().insert("x-request-id", "mine-1".parse().unwrap());

    let kept = send(request).await;
    let made = send(get_request("/v1/trace")).await;

    assert_eq!(kept.headers()["x-request-id"], "mine-1");
    assert_eq!(made.headers()["x-request-id"].len(), 32);
    let traceresponse = made.headers()["traceresponse"].clone();
    let seen = to_bytes(made.into_body(), 100).await.unwrap();
    assert_eq!(seen, traceresponse.as_bytes());
}

#[tokio::test]
async fn idempotency_keys_are_visible_ascii() {
    let keyed = |key: &[u8]| {
        let value = header::HeaderValue::from_bytes(key).unwrap();
        Request::post("/v1/keyed").header("idempotency-key", value).body(Body::empty()).unwrap()
    };

    assert_eq!(send(keyed(&[b'k'; 255])).await.status(), StatusCode::OK);
    for key in [&b""[..], &[b'k'; 256], b"a b", "é".as_bytes()] {
        assert_eq!(code(keyed(key)).await, (400, "bad_header".to_owned()));
    }
}

#[tokio::test]
async fn health_says_what_is_wrong() {
    let health = health();
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    health.probe("database", move || {
        let broken = seen.load(Ordering::Relaxed);
        async move { if broken { Err("no route".to_owned()) } else { Ok(()) } }
    });
    let edge = Edge::new(health);
    let ask = async || {
        let response = edge.answer(routes(), get_request("/health")).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    };

    assert_eq!(ask().await, (200, json!({"status":"healthy","service":"test-svc"})));

    broken.store(true, Ordering::Relaxed);
    let unhealthy = json!({"status":"unhealthy","service":"test-svc",
        "problems":{"database":"no route"}});
    assert_eq!(ask().await, (503, unhealthy));
    let put = Request::put("/health").body(Body::empty()).unwrap();
    assert_eq!(code(put).await, (405, "method_not_allowed".to_owned()));
}
