//! Replays and bulk operations go to the service whose events or keys they are about.

use axum::{
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
    response::IntoResponse,
};

use crate::stub::{Public, Stub, with_settings};

const ID: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

/// Four services, of which notify-svc has what was begun; the first answers everything so.
async fn public_with(first: StatusCode) -> (Public, [Stub; 4]) {
    let none = |_: &_| StatusCode::NOT_FOUND.into_response();
    let stubs = [
        Stub::start(move |_| first.into_response()).await,
        Stub::start(none).await,
        Stub::start(none).await,
        Stub::start(|_| "here".into_response()).await,
    ];
    let urls: Vec<String> = ["order", "payment", "inventory", "notify"]
        .iter()
        .zip(&stubs)
        .map(|(name, stub)| format!("--{name}-url={}", stub.address))
        .collect();
    (with_settings(urls.iter().map(String::as_str)), stubs)
}

async fn public() -> (Public, [Stub; 4]) {
    public_with(StatusCode::NOT_FOUND).await
}

#[tokio::test]
async fn what_is_begun_is_posted_to_the_service_that_its_body_names() {
    let (public, stubs) = public().await;
    for (path, body) in [
        ("/v1/replays", r#"{"service":"payment-svc","reason":"a test"}"#),
        ("/v1/parked/bulk", r#"{"action":"release","filter":{"service":"payment-svc"}}"#),
    ] {
        let before = stubs[1].seen().len();

        public.send(Request::post(path).body(Body::from(body)).unwrap()).await;

        let seen = stubs.each_ref().map(|stub| stub.seen().len());
        assert_eq!(seen, [0, before + 1, 0, 0], "{path}");
        let seen = &stubs[1].seen()[before];
        assert_eq!((&seen.method, &seen.body[..]), (&Method::POST, body.as_bytes()));
    }
}

#[tokio::test]
async fn what_is_begun_is_found_whichever_service_has_it() {
    let (public, _stubs) = public().await;
    for path in ["/v1/replays/{id}", "/v1/parked/bulk/{id}", "/v1/parked/bulk/{id}/keys"] {
        assert_eq!(public.get(&path.replace("{id}", ID)).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_service_that_cannot_tell_hides_nothing_of_another() {
    let (public, stubs) = public_with(StatusCode::SERVICE_UNAVAILABLE).await;
    let path = format!("/v1/parked/bulk/{ID}");
    assert_eq!(public.get(&path).await.status(), StatusCode::OK);
    assert_eq!(stubs[0].seen().len(), 1, "it was asked");
}
