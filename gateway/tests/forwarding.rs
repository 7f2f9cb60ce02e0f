//! What the gateway passes on, and what arrives at the service and at the client.

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse,
};
use chassis::Code;
use gateway::routes::Service;
use proto::api::{Owner, ROUTES};
use serde_json::json;

use crate::stub::{Stub, gateway, json, text, with_settings};

#[tokio::test]
async fn every_route_reaches_its_service() {
    let mut stubs = Vec::new();
    for service in Service::ALL {
        stubs.push((service, Stub::start(move |_| service.name().into_response()).await));
    }
    let urls: Vec<String> = stubs
        .iter()
        .map(|(service, stub)| {
            let name = service.name().trim_end_matches("-svc");
            format!("--{name}-url=http://{}", stub.address)
        })
        .collect();
    let public = with_settings(urls.iter().map(String::as_str));

    for route in ROUTES {
        let path = route.path.replace("{service}", "notify-svc").replace(['{', '}'], "");
        for (method, _) in route.methods {
            let request = Request::builder().method(*method).uri(&path);
            let response = public.send(request.body(Body::empty()).unwrap()).await;
            match route.owner {
                Owner::One(service) => assert_eq!(text(response).await, service.name(), "{path}"),
                Owner::Named => assert_eq!(text(response).await, "notify-svc", "{path}"),
                Owner::All
                | Owner::Body(_)
                | Owner::Erasure
                | Owner::Stream
                | Owner::Trace
                | Owner::Pipeline => {}
            }
        }
    }
    for (service, stub) in stubs {
        assert!(!stub.seen().is_empty(), "{service} was never asked");
    }
}

#[tokio::test]
async fn a_request_is_rebuilt_and_its_answer_is_passed_back() {
    let stub = Stub::start(|_| {
        let headers = [
            ("location", "/v1/orders/1"),
            ("etag", "\"a\""),
            ("connection", "x-secret"),
            ("x-secret", "hop"),
            ("keep-alive", "timeout=5"),
        ];
        (StatusCode::CREATED, headers, Json(json!({"id":"1"}))).into_response()
    })
    .await;
    let public = gateway(&[stub.address], &[]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::post("/v1/orders?x=%20y")
        .header(header::HOST, "shop.example")
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", "k-1")
        .header("x-request-id", "mine")
        .header("traceparent", parent)
        .header(header::CONNECTION, "keep-alive, X-Hop")
        .header("x-hop", "1")
        .header(header::TE, "trailers")
        .header(header::UPGRADE, "h2c")
        .header(header::EXPECT, "100-continue")
        .header(header::TRANSFER_ENCODING, "chunked");

    let response = public.send(request.body("{\"a\":1}".into()).unwrap()).await;

    let seen = stub.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/v1/orders?x=%20y"));
    assert_eq!(seen.body, "{\"a\":1}");
    assert_eq!(seen.headers[header::HOST], stub.address.to_string());
    assert_eq!(seen.headers[header::CONTENT_LENGTH], "7");
    assert_eq!(seen.headers["idempotency-key"], "k-1");
    assert_eq!(seen.headers["x-request-id"], "mine");
    let passed = seen.headers["traceparent"].to_str().unwrap();
    assert!(passed.starts_with(&parent[..36]) && passed != parent);
    for hop in ["connection", "x-hop", "te", "upgrade", "expect", "transfer-encoding"] {
        assert!(!seen.headers.contains_key(hop), "{hop}");
    }
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()[header::LOCATION], "/v1/orders/1");
    assert_eq!(response.headers()[header::ETAG], "\"a\"");
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert_eq!(response.headers().get_all("traceresponse").iter().count(), 1);
    for hop in ["connection", "x-secret", "keep-alive", "transfer-encoding"] {
        assert!(!response.headers().contains_key(hop), "{hop}");
    }
    assert_eq!(json(response).await, json!({"id":"1"}));
}

/// A provider's signature is over the bytes as they were sent.
#[tokio::test]
async fn a_providers_event_arrives_byte_by_byte_with_its_signature() {
    let stub = Stub::plain().await;
    let body = "{ \"type\" :\t\"payment_intent.succeeded\",\r\n\"é\":\"\\u00e9\" }\n\n";
    let request = Request::post("/v1/providers/stripe/webhook")
        .header("stripe-signature", "t=1,v1=aa,v1=bb")
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8");

    let response = gateway(&[stub.address], &[]).send(request.body(body.into()).unwrap()).await;

    assert_eq!(response.status(), StatusCode::OK);
    let seen = stub.seen().pop().unwrap();
    assert_eq!(seen.body, body);
    assert_eq!(seen.headers["stripe-signature"], "t=1,v1=aa,v1=bb");
}

#[tokio::test]
async fn a_trace_is_made_when_none_came() {
    let stub = Stub::plain().await;

    gateway(&[stub.address], &[]).get("/v1/products").await;

    let seen = stub.seen().pop().unwrap();
    assert_eq!(seen.headers["traceparent"].len(), 55);
    assert_eq!(seen.headers["x-request-id"].len(), 32);
    assert!(!seen.headers.contains_key(header::CONTENT_LENGTH));
}

#[tokio::test]
async fn a_services_problem_keeps_its_words() {
    let stub = Stub::start(|_| {
        chassis::Problem::new(Code::PriceChanged, "it did").with("price", "5.00").into_response()
    })
    .await;

    let response = gateway(&[stub.address], &[]).get("/v1/orders").await;

    assert_eq!(response.status(), StatusCode::CONFLICT);
    let problem = text(response).await;
    assert_eq!(problem.matches("\"trace_id\"").count(), 1, "{problem}");
    assert!(
        problem.contains("\"price\":\"5.00\"") && problem.contains("\"instance\":\"/v1/orders\"")
    );
}

#[tokio::test]
async fn what_is_not_in_the_table_stops_here() {
    let stub = Stub::plain().await;
    let public = gateway(&[stub.address], &[]);
    let request = |method: &str, path: &str| {
        Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
    };
    let large = Request::post("/v1/orders").body(vec![b' '; 65_537].into()).unwrap();

    for (request, status, code) in [
        (request("GET", "/v1/nothing"), 404, "not_found"),
        (request("GET", "/v1/orders/"), 404, "not_found"),
        (request("GET", "/"), 404, "not_found"),
        (request("PATCH", "/v1/orders"), 405, "method_not_allowed"),
        (request("POST", "/problems/stale"), 405, "method_not_allowed"),
        (request("GET", "/problems/nothing"), 404, "not_found"),
        (request("GET", "/v1/parked/cat-svc/topic/key"), 404, "not_found"),
        (request("GET", "/v1/products/%ff"), 404, "not_found"),
        (request("GET", "/v1/parked/order-svc/shop.orders.v1/%00"), 404, "not_found"),
        (large, 413, "body_too_large"),
    ] {
        assert_eq!(public.refusal(request).await, (status, code.to_owned()));
    }
    let response = public.send(request("PATCH", "/v1/orders")).await;
    assert_eq!(response.headers()[header::ALLOW], "GET, POST, HEAD");
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn every_problem_has_a_page() {
    let public = gateway(&[([127, 0, 0, 1], 1).into()], &[]);

    for code in Code::ALL {
        let response = public.get(&format!("/problems/{code}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let page = text(response).await;
        for part in ["Cause", "What to do", "Example", code.as_str(), code.title()] {
            assert!(page.contains(part), "{part} is missing on the page of {code}");
        }
    }
    assert!(text(public.get("/problems").await).await.contains("/problems/circuit_open"));
}
