//! A customer is erased at every service that keeps something, or the caller is told to ask again.

use axum::{
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::stub::{Public, Stub, json, with_settings};

fn delete() -> Request {
    Request::delete("/v1/customers/ann").body(Body::empty()).unwrap()
}

/// order-svc and notify-svc with these answers; nobody else answers anything.
async fn public(
    order: impl Fn() -> Response + Send + Sync + 'static,
    notify: impl Fn() -> Response + Send + Sync + 'static,
) -> (Public, [Stub; 2]) {
    let stubs = [Stub::start(move |_| order()).await, Stub::start(move |_| notify()).await];
    let urls = [
        format!("--order-url={}", stubs[0].address),
        format!("--notify-url={}", stubs[1].address),
        "--payment-url=127.0.0.1:1".to_owned(),
        "--inventory-url=127.0.0.1:1".to_owned(),
    ];
    (with_settings(urls.iter().map(String::as_str)), stubs)
}

fn erased(counts: &serde_json::Value) -> Response {
    axum::Json(json!({"erased": counts})).into_response()
}

#[tokio::test]
async fn what_the_services_erased_is_counted_together() {
    let order = || erased(&json!({"orders": 3}));
    let notify = || erased(&json!({"contacts": 1, "notifications": 12}));
    let (public, stubs) = public(order, notify).await;

    let answer = json(public.send(delete()).await).await;

    assert_eq!(answer, json!({"erased": {"contacts": 1, "notifications": 12, "orders": 3}}));
    for stub in &stubs {
        let seen = &stub.seen()[0];
        assert_eq!((&seen.method, &*seen.uri), (&Method::DELETE, "/v1/customers/ann"));
    }
}

#[tokio::test]
async fn a_service_that_fails_keeps_no_other_from_erasing() {
    let order = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    let (public, stubs) = public(order, || erased(&json!({"contacts": 1}))).await;

    assert_eq!(public.refusal(delete()).await, (503, "overloaded".to_owned()));
    assert_eq!(stubs[1].seen().len(), 1);
}

#[tokio::test]
async fn an_answer_without_counts_is_no_success() {
    let (public, _stubs) = public(|| "done".into_response(), || erased(&json!({}))).await;

    assert_eq!(public.refusal(delete()).await, (503, "overloaded".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    let order = || StatusCode::NOT_FOUND.into_response();
    let (public, stubs) = public(order, || erased(&json!({}))).await;

    assert_eq!(public.send(delete()).await.status(), StatusCode::NOT_FOUND);
    assert!(stubs[1].seen().is_empty(), "the path is wrong for all of them");
}
