//! Services that are away, slow or broken: no request hangs, and none is sent twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, extract::Request, http::header};
use backends::testing::eventually;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_util::task::TaskTracker;

use crate::stub::{Stub, gateway, json, text};

/// An address that refuses connections.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn order() -> Request {
    let request = Request::post("/v1/orders").header(header::CONTENT_TYPE, "application/json");
    request.body("{}".into()).unwrap()
}

/// A service that reads each request and then closes the connection, or keeps silent.
async fn rude(hangs_up: bool) -> (SocketAddr, Arc<AtomicUsize>) {
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
    let public = gateway(&[address], &["--circuit-failures=3", "--circuit-pause=50ms"]);

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
    assert_eq!(told["problems"], json!({"order-svc":"none of its 1 instances answers"}));

    let listener = TcpListener::bind(address).await.unwrap();
    let stub = Stub::on(listener, |_| axum::response::IntoResponse::into_response("back"));
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
    let public = gateway(&[nobody().await], &["--circuit-failures=1"]);

    for path in ["/v1/orders", "/v1/payments", "/v1/products", "/v1/notifications"] {
        public.get(path).await;
    }

    let health = public.get("/health").await;
    assert_eq!(health.status(), 503);
    assert_eq!(json(health).await["problems"]["services"], "no service answers");
}

#[tokio::test]
async fn a_request_that_may_have_been_received_is_not_sent_again() {
    let (address, received) = rude(true).await;
    let (other, also) = rude(true).await;
    let public = gateway(&[address, other], &["--circuit-failures=100"]);

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
    let public = gateway(&[address], &["--upstream-timeout=50ms", "--circuit-failures=2"]);

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
