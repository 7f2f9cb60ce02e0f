//! Processes that are restarted under load: no request fails.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use backends::testing::eventually;
use hyper::StatusCode;

use crate::{
    failing::order,
    live::{PATIENCE, Process, client, exchange, fetch},
    stub::{Stub, gateway, text},
};

/// How many requests are under way at once.
const CLIENTS: usize = 16;

/// Calls `send` from many clients at once until `work` has ended. Returns how many times.
async fn under_load<T>(send: impl AsyncFn(), work: impl Future<Output = T>) -> usize {
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|_| async {
        while !is_over.load(Ordering::SeqCst) {
            send().await;
            count.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let work = async {
        let kept = work.await;
        is_over.store(true, Ordering::SeqCst);
        kept
    };
    let (_, _kept) = tokio::join!(futures::future::join_all(clients), work);
    count.into_inner()
}

/// The services here are gateways themselves, since every service is served by the same code.
#[tokio::test]
async fn a_service_with_two_instances_is_restarted_under_load_without_a_failure() {
    let stub = Stub::plain().await;
    let mut services = Vec::new();
    for _ in 0..2 {
        services.push(Process::start(&[stub.address], &[]).await);
    }
    let addresses: Vec<SocketAddr> = services.iter().map(|service| service.address).collect();
    let public = gateway(&addresses, &[]);

    let restarting = async {
        let mut restarted = Vec::new();
        for service in services {
            let port = service.address.port();
            service.terminate();
            assert!(service.end().await);
            restarted.push(Process::start_at(port, &[stub.address], &[]).await);
        }
        restarted
    };
    let send = async || {
        let response = public.send(order()).await;
        let (status, body) = (response.status(), text(response).await);
        assert_eq!((status, body.as_str()), (StatusCode::OK, "here"));
    };
    let count = under_load(send, restarting).await;

    assert!(count > 1_000, "{count}");
    assert_eq!(stub.seen().len(), count, "none was sent twice");
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_first_and_fails_no_request() {
    let stub = Stub::plain().await;
    let gateway = Process::start(&[stub.address], &[]).await;
    let (address, admin) = (gateway.address, gateway.admin);
    let one = client();
    let has_stopped = AtomicBool::new(false);

    let stopping = async {
        gateway.terminate();
        eventually("readiness to go red", PATIENCE, async || {
            let (status, body) = fetch(&client(), admin, "/readyz").await.unwrap();
            if status == StatusCode::SERVICE_UNAVAILABLE { Ok(()) } else { Err(body) }
        })
        .await;
        let request = b"GET /v1/products HTTP/1.1\r\nHost: shop\r\n\r\n";
        let answered = exchange(address, request).await.to_ascii_lowercase();
        assert!(answered.starts_with("http/1.1 200"), "{answered}");
        assert!(answered.contains("connection: close"), "{answered}");
        assert!(gateway.end().await);
    };
    let send = async || match fetch(&one, address, "/v1/products").await {
        Ok((status, body)) => assert_eq!((status, body.as_str()), (StatusCode::OK, "here")),
        // Whoever cannot connect asks elsewhere.
        Err(error) if error.is_connect() => has_stopped.store(true, Ordering::SeqCst),
        Err(error) => unreachable!("a request failed: {error:?}"),
    };
    let count = under_load(send, stopping).await;

    assert!(count > 1_000, "{count}");
    assert!(has_stopped.into_inner());
}
