//! Clients that mean harm, or are broken: each is refused or does nothing, and the others are
//! served.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use backends::testing::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    live::{PATIENCE, client, exchange, fetch, http2_client, listen, rest},
    stub::{Stub, gateway},
};

const PRODUCTS: &[u8] = b"GET /v1/products HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Serves requests beside `attack`, and asserts that each is answered.
async fn beside<T>(address: std::net::SocketAddr, attack: impl Future<Output = T>) -> T {
    let client = client();
    let ordinary = async {
        loop {
            let (status, body) = fetch(&client, address, "/v1/orders").await.unwrap();
            assert_eq!((status.as_u16(), body.as_str()), (200, "here"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        biased;
        attacked = attack => attacked,
        () = ordinary => unreachable!("they never end"),
    }
}

#[tokio::test]
async fn a_head_that_comes_slowly_ends_its_connection_and_no_other() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &["--header-timeout=300ms"])).await;

    let answered = beside(address, async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v1/products HTTP/1.1\r\n").await.unwrap();
        let began = Instant::now();
        // Each byte comes in time, the head does not.
        while stream.write_all(b"x-a: b\r\n").await.is_ok() {
            assert!(began.elapsed() < PATIENCE, "it is still read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        rest(&mut stream).await
    })
    .await;

    assert_eq!(answered, "");
    assert!(stub.seen().iter().all(|seen| seen.uri == "/v1/orders"));
}

#[tokio::test]
async fn a_connection_without_a_request_ends_and_one_between_requests_too() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &["--idle-timeout=300ms"])).await;

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(PRODUCTS).await.unwrap();

    assert_eq!(rest(&mut silent).await, "");
    assert!(rest(&mut idle).await.ends_with("here"));
}

#[tokio::test]
async fn a_preface_that_never_ends_ends_its_connection() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &["--header-timeout=300ms"])).await;

    assert_eq!(exchange(address, b"PRI * HT").await, "");
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_refused_and_reaches_no_service() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &[])).await;

    let answered = beside(address, async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = b"POST /v1/payments HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let dripping = async {
            while writing.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut all = Vec::new();
        tokio::select! {
            read = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut all)) => drop(read.unwrap()),
            () = dripping => {}
        }
        String::from_utf8(all).unwrap()
    })
    .await;

    assert!(answered.starts_with("HTTP/1.1 400"), "{answered}");
    assert!(answered.contains("did not come within 10 s"), "{answered}");
    assert!(stub.seen().iter().all(|seen| seen.uri == "/v1/orders"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let large = |seen: &crate::stub::StubRequest| match seen.uri.as_str() {
        "/v1/products" => Response::new(Body::from(vec![b'x'; 64 * 1024 * 1024])),
        _ => "here".into_response(),
    };
    let stub = Stub::start(large).await;
    let settings = ["--write-timeout=300ms", "--header-timeout=200ms"];
    let address = listen(&gateway(&[stub.address], &settings)).await;

    beside(address, async {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(PRODUCTS).unwrap();
        stream.readable().await.unwrap();
        // A connection that was closed at the other end answers bytes with a reset.
        eventually("the connection to be closed", PATIENCE, async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.try_write(b"x").is_err() { Ok(()) } else { Err("it is open") }
        })
        .await;
    })
    .await;
}

/// A request with another one hidden in it. If anybody took that for one of its own, it would be
/// for another path.
const HIDDEN: &str = "GET /v1/products/hidden HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Requests whose end two servers may see at different places, by the name of the trick.
fn ambiguous() -> Vec<(&'static str, String)> {
    let length = HIDDEN.len();
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let both = format!("Content-Length: {}\r\n\r\n{chunked}", chunked.len());
    let own = format!("Content-Length: {length}\r\n\r\n{HIDDEN}");
    let te = "Transfer-Encoding: chunked\r\n";
    let heads = [
        ("CL.TE", format!("{te}{both}")),
        ("TE.CL", format!("{te}Content-Length: 4\r\n\r\n{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n")),
        ("TE.TE", format!("{te}Transfer-Encoding: identity\r\n\r\n{chunked}")),
        ("an odd TE", format!("Transfer-Encoding: xchunked\r\n{both}")),
        ("TE with a space", format!("Transfer-Encoding : chunked\r\n{both}")),
        ("TE with a tab", format!("Transfer-Encoding:\tchunked\r\n{both}")),
        ("two lengths", format!("Content-Length: 0\r\n{own}")),
        ("a list of lengths", format!("Content-Length: 0, {length}\r\n\r\n{HIDDEN}")),
        ("a signed length", format!("Content-Length: +{length}\r\n\r\n{HIDDEN}")),
        ("obs-fold", format!("X-A: b\r\n {te}{both}")),
        ("bare CR", format!("X-A: b\rContent-Length: 0\r\n{own}")),
        ("NUL", format!("X-A: \0\r\n{own}")),
        ("a chunk's bare LF", format!("{te}\r\n1\n \r\n{chunked}")),
        ("a chunk's odd size", format!("{te}\r\n0x1\r\n \r\n{chunked}")),
    ];
    let start = "POST /v1/orders HTTP/1.1\r\nHost: shop\r\n";
    let mut all: Vec<_> = heads.map(|(name, rest)| (name, format!("{start}{rest}"))).into();
    all.push(("TE in HTTP/1.0", format!("POST /v1/orders HTTP/1.0\r\n{te}{both}")));
    let head = format!("{start}Content-Length: {length}\r\n\r\n").replace("\r\n", "\n");
    all.push(("bare LF", format!("{head}{HIDDEN}")));
    all
}

#[tokio::test]
async fn what_two_servers_may_read_differently_is_refused_or_read_once() {
    let stub = Stub::plain().await;
    let settings = ["--idle-timeout=500ms", "--header-timeout=500ms"];
    let address = listen(&gateway(&[stub.address], &settings)).await;

    for (name, request) in ambiguous() {
        let before = stub.seen().len();

        let answered = exchange(address, request.as_bytes()).await;

        let seen = stub.seen().split_off(before);
        let refused = answered.starts_with("HTTP/1.1 400") && seen.is_empty();
        let once = answered.matches("HTTP/1.").count() == 1 && seen.len() == 1;
        assert!(refused || once, "{name}: {answered}\n{seen:#?}");
        assert!(seen.iter().all(|seen| seen.uri == "/v1/orders"), "{name}: {seen:#?}");
        let lengths = |name: &str| seen.iter().flat_map(move |it| it.headers.get_all(name)).count();
        assert!(lengths("content-length") <= 1, "{name}: {seen:#?}");
        assert_eq!(lengths("transfer-encoding"), 0, "{name}: {seen:#?}");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_problems() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &[])).await;
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n")
    };
    let many = "x-a: 1\r\n".repeat(65);
    let wide = format!("x-a: {}\r\n", "a".repeat(17_000));
    let long = format!("/v1/products?q={}", "a".repeat(8_192));

    for (request, status, code) in [
        (get("/v1/products", &many), "431", "headers_too_large"),
        (get("/v1/products", &wide), "431", "headers_too_large"),
        (get(&long, ""), "414", "uri_too_long"),
    ] {
        let answered = exchange(address, request.as_bytes()).await;
        assert!(answered.starts_with(&format!("HTTP/1.1 {status}")), "{answered}");
        assert!(answered.contains(&format!("\"code\":\"{code}\"")), "{answered}");
    }
    // What is far beyond is refused by the library, before it is read.
    for beyond in
        [get("/v1/products", &"x-a: 1\r\n".repeat(200)), get("/v1/products", &wide.repeat(3))]
    {
        let answered = exchange(address, beyond.as_bytes()).await;
        assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 431"), "{answered}");
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn headers_without_an_end_are_cut_off() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &[])).await;

    beside(address, async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v1/products HTTP/1.1\r\n").await.unwrap();
        let mut sent = 0;
        while stream.write_all(&b"x-a: 1\r\n".repeat(1_000)).await.is_ok() {
            sent += 8_000;
            assert!(sent < 100_000_000, "all of it is read");
        }
    })
    .await;
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    let stub = Stub::plain().await;
    let address = listen(&gateway(&[stub.address], &[])).await;

    let many = (0..200).map(|_| async {
        let client = http2_client();
        fetch(&client, address, "/v1/products").await.unwrap()
    });

    for (status, body) in futures::future::join_all(many).await {
        assert_eq!((status.as_u16(), body.as_str()), (200, "here"));
    }
}
