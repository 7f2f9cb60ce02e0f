//! What the gateway expects of the services' answers: with samples that have nothing else it does
//! its part. That the services answer so is shown in their own tests.

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::stub::{Public, Stub, StubRequest, gateway, json, text};

const ORDER: &str = "01932c1e-7b5a-7c3d-8e4f-0123456789ab";
const UNKNOWN: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

fn expectations() -> Map<String, Value> {
    serde_json::from_str(include_str!("../../proto/expectations/gateway.json")).unwrap()
}

/// The sample for a request that the gateway sends to a service, and which one it is.
fn sample(seen: &StubRequest) -> Option<(String, Response)> {
    let services = ["order-svc", "payment-svc", "inventory-svc", "notify-svc"];
    expectations().into_iter().find_map(|(name, expected)| {
        let of = services.iter().find(|service| {
            let asked = name
                .replace("{service}", service)
                .replace("{order}", ORDER)
                .replace("{customer}", "customer-456")
                .replace("{unknown}", UNKNOWN);
            asked == format!("{} {}", seen.method, seen.uri)
        });
        of?;
        let status = expected["status"].as_u64().map_or(200, |status| status.try_into().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        Some((name, (status, Json(expected["reads"].clone())).into_response()))
    })
}

/// A gateway before services that answer with the samples, and with nothing where there is none.
async fn public() -> (Public, Stub) {
    let gone = || StatusCode::GONE.into_response();
    let stub = Stub::start(move |seen| sample(seen).map_or_else(gone, |(_, sample)| sample)).await;
    (gateway(&[stub.address], &[]), stub)
}

#[tokio::test]
async fn with_the_samples_alone_the_gateway_does_its_part() {
    let (public, stub) = public().await;

    let stream = text(public.get(&format!("/v1/orders/{ORDER}/stream")).await).await;
    let events: Vec<_> = stream.lines().filter(|line| line.starts_with("event: ")).collect();
    assert_eq!(events, ["event: order", "event: saga"], "{stream}");
    let resumed = Request::get(format!("/v1/orders/{ORDER}/stream")).header("last-event-id", "0");
    let resumed = text(public.send(resumed.body(Body::empty()).unwrap()).await).await;
    assert!(resumed.contains("id: 1\n") && resumed.contains("id: 2\n"), "{resumed}");
    for (list, limit, items) in [("parked", 1, 0), ("lanes", 1, 1), ("operations", 2, 2)] {
        let page = json(public.get(&format!("/v1/{list}?limit={limit}")).await).await;
        assert_eq!(page["items"].as_array().map(Vec::len), Some(items), "{list}: {page}");
    }
    for begun in ["replays", "parked/bulk"] {
        let path = format!("/v1/{begun}/{UNKNOWN}");
        let none = public.refusal(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(none, (404, "not_found".to_owned()));
    }
    let erased = Request::delete("/v1/customers/customer-456").body(Body::empty()).unwrap();
    assert_eq!(json(public.send(erased).await).await, json!({"erased": {}}));

    let mut asked: Vec<_> = stub.seen().iter().filter_map(|seen| Some(sample(seen)?.0)).collect();
    asked.sort_unstable();
    asked.dedup();
    let all: Vec<_> = expectations().into_iter().map(|(name, _)| name).collect();
    let idle: Vec<_> = all.iter().filter(|name| !asked.contains(name)).collect();
    assert!(idle.is_empty(), "nobody needs {idle:?}");
    let unmet = stub.seen().iter().filter(|seen| sample(seen).is_none()).count();
    assert_eq!(unmet, 0, "the gateway asks for what it expects nothing of");
}
