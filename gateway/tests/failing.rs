//! Services that are away, slow or broken: no request hangs, and none is sent twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::IntoResponse,
};
use backends::testing::eventually;
use chassis::http::FinishedResponse;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::task::TaskTracker;

use crate::{
    live::PATIENCE,
    stub::{Stub, gateway, json, text},
};

/// An address that refuses connections.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) fn order() -> Request {
    let request = Request::post("/v1/orders").header(header::CONTENT_TYPE, "application/json");
    request.body("{}".into()).unwrap()
}

/// A service that reads each request and then closes the connection, or keeps silent.
pub(crate) async fn rude(hangs_up: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    TaskTracker::new().spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(stream.read(&mut [0; 4096]).await.unwrap().min(1), Ordering::SeqCst);
            if !hangs_up {
                kept.push(stream);
            }
        }
    });
    (address, count)
}

#[tokio::test]
async fn another_instance_answers_when_one_cannot_be_reached() {
    let stub = Stub::plain().await;
    let public = gateway(&[nobody().await, stub.address], &[]);

    for _ in 0..10 {
        assert_eq!(text(public.send(order()).await).await, "here");
    }

    assert_eq!(stub.seen().len(), 10);
}

#[tokio::test]
async fn instances_take_turns() {
    let stubs = [Stub::plain().await, Stub::plain().await];
    let public = gateway(&[stubs[0].address, stubs[1].address], &[]);

    for _ in 0..10 {
        public.get("/v1/products").await;
    }

    assert_eq!([stubs[0].seen().len(), stubs[1].seen().len()], [5, 5]);
}

#[tokio::test]
async fn a_service_that_is_away_is_left_alone_and_comes_back() {
    let address = nobody().await;
    let public = gateway(&[address], &["--circuit-calls=3", "--circuit-pause=50ms"]);

    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(public.refusal(order()).await);
    }
    assert_eq!(codes[0], (503, "overloaded".to_owned()));
    assert_eq!(codes[3], (503, "circuit_open".to_owned()));
    let response = public.send(order()).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let health = public.get("/health").await;
    assert_eq!(health.status(), 200);
    let told = json(health).await;
    assert_eq!(told["status"], "healthy");
    let problem = format!("circuit open at {address}; 0 of 1 instances in use");
    assert_eq!(told["problems"], json!({"order-svc":problem}));

    let listener = TcpListener::bind(address).await.unwrap();
    let stub = Stub::on(listener, |_| "back".into_response());
    eventually("the stub to be tried again", Duration::from_secs(10), async || {
        let status = public.send(order()).await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert!(!stub.seen().is_empty());
    assert_eq!(
        json(public.get("/health").await).await,
        json!({"status":"healthy","service":"gateway"})
    );
}

#[tokio::test]
async fn a_gateway_before_nothing_is_unhealthy() {
    let public = gateway(&[nobody().await], &["--circuit-calls=1"]);

    for path in ["/v1/orders", "/v1/payments", "/v1/products", "/v1/notifications"] {
        public.get(path).await;
    }

    let health = public.get("/health").await;
    assert_eq!(health.status(), 503);
    assert_eq!(json(health).await["problems"]["services"], "no service answers");
}

/// Who is not ready gets no requests, so no request may be needed to find that services are back.
#[tokio::test]
async fn a_gateway_is_well_again_once_services_are_back_without_a_request_to_them() {
    let address = nobody().await;
    let public = gateway(&[address], &["--circuit-calls=1", "--circuit-pause=10ms"]);
    for path in ["/v1/orders", "/v1/payments", "/v1/products", "/v1/notifications"] {
        public.get(path).await;
    }
    assert_eq!(public.get("/health").await.status(), 503);
    public.gateway.try_open_circuits().await;
    assert_eq!(public.get("/health").await.status(), 503, "nobody is back yet");

    let back = Stub::on(TcpListener::bind(address).await.unwrap(), |_| "here".into_response());

    eventually("the gateway to be well", PATIENCE, async || {
        public.gateway.try_open_circuits().await;
        let health = json(public.get("/health").await).await;
        if health["status"] == "healthy" { Ok(()) } else { Err(health.to_string()) }
    })
    .await;
    assert!(back.seen().iter().all(|request| request.uri == "/health"), "{:?}", back.seen());
}

#[tokio::test]
async fn a_request_that_may_have_been_received_is_not_sent_again() {
    let (address, received) = rude(true).await;
    let (other, also) = rude(true).await;
    let public = gateway(&[address, other], &[]);

    for n in 1..=4 {
        let response = public.send(order()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert!(json(response).await["detail"].as_str().unwrap().contains("may have taken effect"));
        assert_eq!(received.load(Ordering::SeqCst) + also.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn a_service_that_keeps_silent_is_overload_after_the_deadline() {
    let (address, received) = rude(false).await;
    let public = gateway(&[address], &["--upstream-timeout=50ms", "--circuit-calls=2"]);

    assert_eq!(public.refusal(order()).await, (503, "overloaded".to_owned()));
    assert_eq!(public.refusal(order()).await, (503, "overloaded".to_owned()));
    assert_eq!(public.refusal(order()).await, (503, "circuit_open".to_owned()));
    assert_eq!(received.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_wish_to_wait_extends_the_deadline() {
    let (address, _) = rude(false).await;
    let public = gateway(&[address], &["--upstream-timeout=20ms"]);
    let began = Instant::now();
    let request = Request::get("/v1/orders/1").header("prefer", "wait=1");

    let refused = public.refusal(request.body(Body::empty()).unwrap()).await;

    assert_eq!(refused, (503, "overloaded".to_owned()));
    assert!(began.elapsed() >= Duration::from_millis(1_020));
}

#[tokio::test]
async fn a_request_that_only_reads_is_sent_to_another_instance_when_one_goes_away() {
    let (address, received) = rude(true).await;
    let stub = Stub::plain().await;
    let public = gateway(&[address, stub.address], &[]);

    for _ in 0..4 {
        assert_eq!(text(public.get("/v1/products").await).await, "here");
    }

    assert!(received.load(Ordering::SeqCst) > 0);
    let (alone, received) = rude(true).await;
    let public = gateway(&[alone], &[]);
    let read = Request::get("/v1/products").body(Body::empty()).unwrap();
    assert_eq!(public.refusal(read).await, (503, "overloaded".to_owned()));
    assert_eq!(received.load(Ordering::SeqCst), 2, "once more, and not for ever");
}

#[tokio::test]
async fn an_instance_with_less_under_way_is_asked_first() {
    let (address, received) = rude(false).await;
    let stub = Stub::plain().await;
    let public = gateway(&[address, stub.address], &["--upstream-timeout=2s"]);
    let ended = AtomicUsize::new(0);
    let get = async || {
        text(public.get("/v1/orders").await).await;
        ended.fetch_add(1, Ordering::SeqCst);
    };
    let others = async {
        // Of two requests at once each instance gets one.
        eventually("one request to hang", Duration::from_secs(5), async || {
            let now = (received.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
            if now == (1, 1) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        for _ in 0..20 {
            assert_eq!(text(public.send(order()).await).await, "here");
        }
    };

    tokio::join!(get(), get(), others);

    assert_eq!(received.load(Ordering::SeqCst), 1);
}

/// 502, 503 and 504 are what others say of an instance that is away; our services say when to come
/// again.
#[tokio::test]
async fn what_a_proxy_says_of_an_instance_counts_and_what_a_busy_instance_says_does_not() {
    for (status, retry_after, opens) in [
        (502, None, true),
        (503, None, true),
        (504, None, true),
        (503, Some("5"), false),
        (500, None, false),
        (429, Some("1"), false),
        (404, None, false),
    ] {
        let stub = Stub::start(move |_| {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            response.extensions_mut().insert(FinishedResponse);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.parse().unwrap());
            }
            response
        })
        .await;
        let public = gateway(&[stub.address], &["--circuit-pause=1h"]);

        for _ in 0..10 {
            public.send(order()).await;
        }

        let asked = if opens { 5 } else { 10 };
        assert_eq!(stub.seen().len(), asked, "{status} {retry_after:?}");
    }
}

#[tokio::test]
async fn a_half_open_circuit_lets_one_request_through() {
    let (address, received) = rude(false).await;
    let settings = ["--upstream-timeout=100ms", "--circuit-calls=1", "--circuit-pause=50ms"];
    let public = gateway(&[address], &settings);
    public.send(order()).await;
    assert_eq!(received.load(Ordering::SeqCst), 1);
    eventually("the pause to end", Duration::from_secs(5), async || {
        let refused = public.refusal(order()).await;
        if refused.1 == "overloaded" { Ok(()) } else { Err(refused.1) }
    })
    .await;
    let before = received.load(Ordering::SeqCst);

    eventually("another pause to end", Duration::from_secs(5), async || {
        let many = (0..10).map(|_| public.refusal(order()));
        let codes = futures::future::join_all(many).await;
        let tried = codes.iter().filter(|code| code.1 == "overloaded").count();
        if tried == 1 { Ok(()) } else { Err(format!("{codes:?}")) }
    })
    .await;

    assert_eq!(received.load(Ordering::SeqCst), before + 1);
    let problem = json(public.get("/health").await).await["problems"]["order-svc"].to_string();
    assert!(problem.contains("circuit open"), "{problem}");
}

#[tokio::test]
async fn a_service_that_stops_in_the_middle_of_an_answer_is_no_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
            stream.write_all(part).await.unwrap();
            kept.push(stream);
        }
    });
    let public = gateway(&[address], &["--upstream-timeout=100ms"]);

    let response = public.get("/v1/products").await;

    assert_eq!(response.status(), 200);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX);
    let ended = tokio::time::timeout(Duration::from_secs(10), body).await.unwrap();
    assert!(ended.is_err());
}
