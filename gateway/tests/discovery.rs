//! Instances that are found by name, leave and come.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::response::IntoResponse;
use backends::testing::eventually;
use gateway::discovery::Resolver;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};
use tokio_util::task::TaskTracker;

use crate::stub::{Public, Stub, json, text, with_resolver};

/// What the names have at present; `None` while DNS is away.
type Names = Arc<Mutex<Option<Vec<SocketAddr>>>>;

/// A gateway whose services all have one name.
async fn before(names: &Names) -> Public {
    let known = Arc::clone(names);
    let resolver = Resolver::from(move |host, port| {
        assert_eq!((host.as_str(), port), ("shop.internal", 80));
        let found = known.lock().unwrap().clone();
        async move { found.ok_or_else(|| io::Error::other("DNS is away")) }
    });
    let urls = ["order", "payment", "inventory", "notify"]
        .map(|service| format!("--{service}-url=shop.internal:80"));
    let public = with_resolver(resolver, urls.iter().map(String::as_str));
    public.gateway.refresh().await;
    public
}

fn names(addresses: &[SocketAddr]) -> Names {
    Arc::new(Mutex::new(Some(addresses.to_vec())))
}

#[tokio::test]
async fn a_name_with_several_addresses_is_several_instances_under_their_name() {
    let stubs = [Stub::plain().await, Stub::plain().await];
    let names = names(&[stubs[0].address, stubs[1].address]);
    let public = before(&names).await;

    for _ in 0..10 {
        public.get("/v1/products").await;
    }

    assert_eq!([stubs[0].seen().len(), stubs[1].seen().len()], [5, 5]);
    assert_eq!(stubs[0].seen()[0].headers["host"], "shop.internal:80");
}

#[tokio::test]
async fn a_host_of_both_kinds_of_addresses_is_one_instance() {
    let stub = Stub::plain().await;
    let names = names(&["[::1]:1".parse().unwrap(), stub.address]);
    let public = before(&names).await;

    for _ in 0..10 {
        assert_eq!(text(public.get("/v1/products").await).await, "here");
    }

    let health = json(public.get("/health").await).await;
    assert_eq!(health["problems"], serde_json::Value::Null);
}

#[tokio::test]
async fn new_instances_are_used_at_once_and_those_that_left_no_more() {
    let stubs = [Stub::plain().await, Stub::plain().await];
    let names = names(&[stubs[0].address]);
    let public = before(&names).await;
    public.get("/v1/products").await;

    *names.lock().unwrap() = Some(vec![stubs[1].address]);
    public.gateway.refresh().await;
    for _ in 0..5 {
        assert_eq!(text(public.get("/v1/products").await).await, "here");
    }

    assert_eq!([stubs[0].seen().len(), stubs[1].seen().len()], [1, 5]);
}

#[tokio::test]
async fn an_instance_that_left_is_in_no_state() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _shown = metrics::set_default_local_recorder(&recorder);
    let is_closed = |address: SocketAddr| {
        let state = format!("{{service=\"order-svc\",address=\"{address}\",state=\"closed\"}} 1");
        shown.render().contains(&state)
    };
    let stubs = [Stub::plain().await, Stub::plain().await];
    let names = names(&[stubs[0].address]);
    let public = before(&names).await;
    assert!(is_closed(stubs[0].address), "{}", shown.render());

    *names.lock().unwrap() = Some(vec![stubs[1].address]);
    public.gateway.refresh().await;

    assert_eq!(stubs.each_ref().map(|stub| is_closed(stub.address)), [false, true]);
}

/// A service that answers its first request when it is told to.
struct SlowService {
    address: SocketAddr,
    has_begun: oneshot::Receiver<()>,
    answer: oneshot::Sender<()>,
    /// Its connection has ended.
    has_ended: oneshot::Receiver<()>,
}

async fn slow() -> SlowService {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (began, has_begun) = oneshot::channel();
    let (answer, may_answer) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        began.send(()).unwrap();
        may_answer.await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow";
        stream.write_all(answer).await.unwrap();
        assert_eq!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        ended.send(()).unwrap();
    });
    SlowService { address, has_begun, answer, has_ended }
}

#[tokio::test]
async fn what_is_under_way_at_an_instance_that_leaves_ends_and_then_its_connection() {
    let SlowService { address, has_begun, answer, has_ended } = slow().await;
    let stub = Stub::plain().await;
    let names = names(&[address]);
    let public = before(&names).await;
    let leaving = async {
        has_begun.await.unwrap();
        *names.lock().unwrap() = Some(vec![stub.address]);
        public.gateway.refresh().await;
        assert_eq!(text(public.get("/v1/products").await).await, "here");
        answer.send(()).unwrap();
    };

    let (slow, ()) = tokio::join!(public.get("/v1/products"), leaving);

    assert_eq!(text(slow).await, "slow");
    // Sooner than idle connections end by themselves.
    tokio::time::timeout(Duration::from_secs(2), has_ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn dns_that_is_away_stops_nothing_and_is_told() {
    let stub = Stub::plain().await;
    let names = names(&[stub.address]);
    let public = before(&names).await;

    for nothing in [None, Some(Vec::new())] {
        *names.lock().unwrap() = nothing;
        public.gateway.refresh().await;
        assert_eq!(text(public.get("/v1/products").await).await, "here");
        let health = public.get("/health").await;
        assert_eq!(health.status(), 200);
        let told = json(health).await["problems"]["order-svc"].to_string();
        assert!(told.contains("shop.internal:80 cannot be looked up"), "{told}");
    }

    *names.lock().unwrap() = Some(vec![stub.address]);
    public.gateway.refresh().await;
    let health = json(public.get("/health").await).await;
    assert_eq!(health["problems"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_name_that_was_never_found_is_a_service_that_is_away_until_it_is() {
    let names: Names = Arc::new(Mutex::new(None));
    let public = before(&names).await;
    let health = public.get("/health").await;
    assert_eq!(health.status(), 503);
    let request = axum::extract::Request::get("/v1/products").body(axum::body::Body::empty());
    assert_eq!(public.refusal(request.unwrap()).await, (503, "overloaded".to_owned()));

    let stub = Stub::start(|_| "found".into_response()).await;
    *names.lock().unwrap() = Some(vec![stub.address]);
    public.gateway.refresh().await;

    eventually("it to be found", Duration::from_secs(5), async || {
        let answer = text(public.get("/v1/products").await).await;
        if answer == "found" { Ok(()) } else { Err(answer) }
    })
    .await;
}
