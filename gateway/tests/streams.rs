//! Streams of orders before a service whose state a test chooses; e2e has the real ones.

use axum::{
    Json,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    live::PATIENCE,
    stub::{Public, Stub, StubRequest, gateway, text},
};

const ORDER: &str = "/v1/orders/01932c1e-7b5a-7c3d-8e4f-0123456789ab";

fn saga(version: i64) -> Value {
    json!({"version": version, "status": "completed", "heard": {}, "steps": []})
}

/// Answers as order-svc does about an order with this version and status, all of whose versions
/// look alike.
fn order_svc(request: &StubRequest, version: i64, status: &str) -> Response {
    let order = |version| json!({"version": version, "status": status});
    let (path, query) = request.uri.split_once('?').unwrap_or((&request.uri, ""));
    match path.strip_prefix(ORDER) {
        Some("") => Json(order(version)).into_response(),
        Some("/saga") => Json(saga(version)).into_response(),
        Some("/history") => {
            let number = |name: &str| {
                let found = query.split('&').find_map(|it| it.strip_prefix(name)).unwrap();
                found.parse::<i64>().unwrap()
            };
            let (after, limit) = (number("after="), number("limit="));
            let page: Vec<Value> = (after + 1..=version.min(after + limit)).map(order).collect();
            Json(json!({"items": page})).into_response()
        }
        other => unreachable!("{other:?}"),
    }
}

async fn follow(public: &Public, last: Option<&str>) -> Response {
    let mut request = Request::get(format!("{ORDER}/stream"));
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    public.send(request.body(Body::empty()).unwrap()).await
}

/// What a stream tells until it ends.
async fn whole(response: Response) -> String {
    tokio::time::timeout(PATIENCE, text(response)).await.expect("the end of the stream")
}

#[tokio::test]
async fn who_has_seen_the_last_version_is_not_kept_waiting_for_another() {
    let stub = Stub::start(|request| order_svc(request, 3, "delivered")).await;
    let public = gateway(&[stub.address], &[]);

    let told = whole(follow(&public, Some("3")).await).await;

    assert!(told.contains("event: saga") && !told.contains("event: order"), "{told}");
}

#[tokio::test]
async fn a_long_past_is_read_in_pieces_and_told_whole() {
    let stub = Stub::start(|request| order_svc(request, 25, "delivered")).await;
    let public = gateway(&[stub.address], &[]);

    // Nothing is left out, although a delivered order ends its stream.
    let told = whole(follow(&public, Some("0")).await).await;

    let ids: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, (1..=25).map(|id| id.to_string()).collect::<Vec<_>>());
    let read = stub.seen().into_iter().filter(|it| it.uri.contains("/history")).count();
    assert_eq!(read, 3);
}

#[tokio::test]
async fn what_a_client_asks_of_the_stream_is_not_asked_of_order_svc() {
    let stub = Stub::start(|request| {
        for name in ["if-none-match", "prefer"] {
            assert!(!request.headers.contains_key(name), "{name}");
        }
        order_svc(request, 1, "delivered")
    })
    .await;
    let public = gateway(&[stub.address], &[]);
    let request = Request::get(format!("{ORDER}/stream"))
        .header("If-None-Match", "*")
        .header("Prefer", "wait=30");

    let told = whole(public.send(request.body(Body::empty()).unwrap()).await).await;

    assert!(told.contains("event: order"), "{told}");
}
