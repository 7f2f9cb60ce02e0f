//! What the edge knows of its clients: their addresses, their rates, their pages, their log.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo, http::header};
use backends::testing::eventually;
use chassis::identity::Issuer;
use hyper::Request;
use proto::Role;
use serde_json::Value;

use crate::{
    live::{PATIENCE, Process, client, fetch, listen},
    stub::{Stub, gateway, json},
};

/// A request as if it came over a connection from `peer`.
fn from(peer: &str, path: &str) -> axum::extract::Request {
    let peer: SocketAddr = peer.parse().unwrap();
    Request::get(path).extension(ConnectInfo(peer)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_service_is_told_where_a_request_comes_from() {
    let stub = Stub::plain().await;
    let public = gateway(&[stub.address], &["--trusted-proxies=10.0.0.0/8,::1"]);
    let spoofed = |peer: &str| {
        let mut request = from(peer, "/v1/products");
        for (name, value) in
            [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "6.6.6.6"), ("x-real-ip", "6.6.6.6")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };

    public.send(spoofed("192.0.2.1:5")).await;
    public.send(spoofed("10.0.0.1:5")).await;
    let address = listen(&public).await;
    fetch(&client(), address, "/v1/products").await.unwrap();

    let seen = stub.seen();
    assert_eq!(seen[0].headers["forwarded"], "for=192.0.2.1;proto=http");
    assert!(!seen[0].headers.contains_key("x-forwarded-for"));
    assert!(!seen[0].headers.contains_key("x-real-ip"));
    assert_eq!(seen[1].headers["forwarded"], "for=6.6.6.6, for=10.0.0.1;proto=http");
    assert_eq!(seen[1].headers["x-forwarded-for"], "6.6.6.6, 10.0.0.1");
    assert_eq!(seen[2].headers["forwarded"], "for=127.0.0.1;proto=http");
}

#[tokio::test]
async fn an_address_has_its_rate_and_proxies_cannot_be_claimed() {
    let stub = Stub::plain().await;
    let settings = ["--rate-per-address=1", "--burst-per-address=3", "--trusted-proxies=10.0.0.1"];
    let public = gateway(&[stub.address], &settings);
    let behind = |peer: &str, client: &str| {
        let mut request = from(peer, "/v1/products");
        let value = format!("for={client}").parse().unwrap();
        request.headers_mut().insert(header::FORWARDED, value);
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        request
    };

    for _ in 0..3 {
        assert_eq!(public.send(behind("192.0.2.1:5", "1.1.1.1")).await.status(), 200);
    }

    let refused = public.send(behind("192.0.2.1:6", "2.2.2.2")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert_eq!(json(refused).await["code"], "rate_limited");
    assert_eq!(stub.seen().len(), 3);
    for n in 0..5 {
        let client = format!("192.0.2.{}", 100 + n);
        assert_eq!(public.send(behind("10.0.0.1:5", &client)).await.status(), 200);
    }
    assert_eq!(public.send(behind("10.0.0.1:5", "192.0.2.1")).await.status(), 429);
    assert_eq!(public.send(from("192.0.2.1:5", "/health")).await.status(), 200);
}

#[tokio::test]
async fn a_caller_has_a_rate_whatever_their_token_and_others_have_their_own() {
    let stub = Stub::plain().await;
    let issuer = Issuer::from_pem(&Issuer::new_key().unwrap()).unwrap();
    let keys = format!("--jwks={}", backends::testing::file(issuer.key_set()).display());
    let settings = [&keys, "--rate-per-caller=1", "--burst-per-caller=3"];
    let gateway = Process::start(&[stub.address], &settings).await;
    let ask = async |caller: Option<(&str, &[Role])>| {
        let mut request = Request::get(format!("http://{}/v1/products", gateway.address));
        if let Some((subject, roles)) = caller {
            let token = issuer.token(subject, roles, PATIENCE * 10).unwrap();
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = client().request(request.body(Body::empty()).unwrap()).await.unwrap();
        (response.status().as_u16(), response.map(Body::new))
    };
    // How often ann is served before she is not. On a busy machine a second may pass meanwhile, in
    // which there is room for one more.
    let until_refused = async |roles: &[Role]| {
        for taken in 0..20 {
            if let (429, refused) = ask(Some(("ann", roles))).await {
                assert_eq!(refused.headers()["retry-after"], "1");
                assert_eq!(json(refused).await["code"], "rate_limited");
                return taken;
            }
        }
        panic!("twenty requests are served");
    };

    let at_first = until_refused(&[]).await;
    let with_another_token = until_refused(&[Role::Staff]).await;

    assert!(at_first >= 3 && with_another_token < 3, "{at_first}, {with_another_token}");
    let taken = at_first + with_another_token;
    assert_eq!(stub.seen().len(), taken, "what is refused reaches nobody");
    for caller in [Some(("bob", &[][..])), None] {
        assert_eq!(ask(caller).await.0, 200, "{caller:?}");
    }
    eventually("there is room again", PATIENCE, async || match ask(Some(("ann", &[]))).await.0 {
        200 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
}

#[tokio::test]
async fn nothing_is_limited_unless_it_is_set() {
    let stub = Stub::plain().await;
    let public = gateway(&[stub.address], &[]);

    for _ in 0..500 {
        assert_eq!(public.send(from("192.0.2.1:5", "/v1/products")).await.status(), 200);
    }
}

#[tokio::test]
async fn pages_of_the_origins_that_are_set_may_call() {
    let stub = Stub::plain().await;
    let public = gateway(&[stub.address], &["--cors-origins=https://shop.example"]);
    let ask = |method: &str, origin: &str| {
        let request = Request::builder().method(method).uri("/v1/orders");
        let request = request.header(header::ORIGIN, origin);
        let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        request.body(Body::empty()).unwrap()
    };
    let allowed = header::ACCESS_CONTROL_ALLOW_ORIGIN;

    let preflight = public.send(ask("OPTIONS", "https://shop.example")).await;
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()[&allowed], "https://shop.example");
    let names = preflight.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
    assert!(names.contains("idempotency-key") && names.contains("authorization"), "{names}");
    assert!(stub.seen().is_empty());
    let answered = public.send(ask("GET", "https://shop.example")).await;
    assert_eq!(answered.headers()[&allowed], "https://shop.example");
    let shown = answered.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(shown.contains("retry-after") && shown.contains("etag"), "{shown}");

    // What is refused before anything is forwarded names the allowed origin, too.
    let mut long = ask("GET", "https://shop.example");
    *long.uri_mut() = format!("/v1/orders?note={}", "n".repeat(20_000)).parse().unwrap();
    let mut large = ask("POST", "https://shop.example");
    large.headers_mut().insert(header::CONTENT_LENGTH, (1u64 << 40).into());
    for (request, status) in [(long, 414), (large, 413)] {
        let refused = public.send(request).await;
        assert_eq!(refused.status(), status);
        assert_eq!(refused.headers()[&allowed], "https://shop.example");
    }

    for origin in ["https://evil.example", "https://shop.example.evil.example", "null"] {
        let preflight = public.send(ask("OPTIONS", origin)).await;
        assert!(!preflight.headers().contains_key(&allowed), "{origin}");
    }
    let closed = gateway(&[stub.address], &[]);
    let preflight = closed.send(ask("OPTIONS", "https://shop.example")).await;
    assert_eq!(preflight.status(), 405);
    assert!(!preflight.headers().contains_key(&allowed));
}

#[tokio::test]
async fn a_request_is_a_line_of_the_log_if_it_is_set() {
    let stub = Stub::plain().await;
    let settings = ["--access-log-percent=100", "--log-format=json", "--trusted-proxies=127.0.0.1"];
    let logging = Process::start(&[stub.address], &settings).await;
    let silent = Process::start(&[stub.address], &["--log-format=json"]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = |address: SocketAddr| {
        let request = Request::get(format!("http://{address}/v1/products?q=secret"));
        let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
        let request = request.header("x-request-id", "mine").header("forwarded", "for=192.0.2.7");
        request.body(Body::empty()).unwrap()
    };

    client().request(request(silent.address)).await.unwrap();
    client().request(request(logging.address)).await.unwrap();

    let line = eventually("the line", PATIENCE, async || {
        let log = logging.log();
        let line = log.iter().find(|line| line.contains("\"request\""));
        line.map(|line| serde_json::from_str::<Value>(line).unwrap()).ok_or(log.join("\n"))
    })
    .await;
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/v1/products");
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &4.into()));
    assert_eq!((&line["client"], &line["request_id"]), (&"192.0.2.7".into(), &"mine".into()));
    assert_eq!((&line["trace_id"], &line["whole"]), (&trace.into(), &true.into()));
    assert!(line["ms"].is_u64());
    assert!(!logging.log().iter().any(|line| line.contains("secret")));
    assert!(!silent.log().iter().any(|line| line.contains("/v1/products")));
}

#[tokio::test]
async fn a_circuit_is_a_metric() {
    let (address, _) = crate::failing::rude(true).await;
    let gateway = Process::start(&[address], &["--circuit-pause=1h"]).await;
    let metrics = async || fetch(&client(), gateway.admin, "/metrics").await.unwrap().1;
    let line = |state: &str, value: u8| {
        format!(
            "upstream_circuit_state{{service=\"order-svc\",address=\"{address}\",state=\"{state}\"}} {value}"
        )
    };
    let all = metrics().await;
    assert!(all.contains(&line("closed", 1)) && all.contains(&line("open", 0)), "{all}");

    for _ in 0..5 {
        fetch(&client(), gateway.address, "/v1/orders").await.unwrap();
    }

    let all = metrics().await;
    assert!(all.contains(&line("closed", 0)) && all.contains(&line("open", 1)), "{all}");
    assert!(all.contains("upstream_instances{service=\"order-svc\"} 1"), "{all}");
}
