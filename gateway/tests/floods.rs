//! Floods, against a gateway in a process of its own: its memory stays bounded, and ordinary
//! requests are served meanwhile.

use std::{net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    live::{Process, client, fetch, http2_client},
    stub::Stub,
};

const IDLE: usize = 10_000;
/// More than a flood takes that is cut off, and less than a leak would.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// What a connection takes at most that has begun a request: hyper's buffers, and room for the
/// request's handler.
const CONNECTION_KIB: u64 = 32;

/// Sends ordinary requests until `flood` has ended. Returns how many were answered, all of them
/// well.
async fn served_beside(address: SocketAddr, flood: impl Future<Output = ()>) -> usize {
    let (one, two) = (client(), http2_client());
    let mut flood = std::pin::pin!(flood);
    let mut served = 0;
    loop {
        let ordinary = async {
            for client in [&one, &two] {
                let (status, body) = fetch(client, address, "/v1/products").await.unwrap();
                assert_eq!((status.as_u16(), body.as_str()), (200, "here"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        // A request that has begun is waited for.
        let mut ordinary = std::pin::pin!(ordinary);
        let is_over = tokio::select! {
            () = &mut flood => true,
            () = &mut ordinary => false,
        };
        if is_over {
            ordinary.await;
            return served;
        }
        served += 2;
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_hurt_nobody() {
    idle_connections(8_192, &[]).await;
}

#[tokio::test]
async fn ten_thousand_connections_where_two_thousand_may_be_take_the_memory_of_those() {
    idle_connections(2_000, &["--connections-max=2000"]).await;
}

/// Opens connections to a gateway that keeps `max` of them.
async fn idle_connections(max: u64, settings: &[&str]) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let stub = Stub::plain().await;
    let gateway = Process::start(&[stub.address], settings).await;
    let before = gateway.rss_kib();
    let mut idle = Vec::with_capacity(IDLE);

    let served = served_beside(gateway.address, async {
        while idle.len() < IDLE {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            // Half of them have begun a request, and never go on.
            if idle.len() % 2 == 0 {
                stream.write_all(b"GET /v1/orders HTTP/1.1\r\nx").await.unwrap();
            }
            idle.push(stream);
        }
    })
    .await;

    assert!(served > 0);
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < max * CONNECTION_KIB, "{grown} KiB more");
    // Still, with all of them there, a newcomer is served.
    for _ in 0..100 {
        let (status, _) = fetch(&client(), gateway.address, "/v1/products").await.unwrap();
        assert_eq!(status, 200);
    }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// `GET /v1/products`, its fields coded one by one (RFC 7541).
pub(crate) fn get() -> Vec<u8> {
    let path = b"/v1/products";
    let path = [&[0x04, u8::try_from(path.len()).unwrap()], &path[..]].concat();
    [&[0x82, 0x86], &path[..], &[0x41, 1, b'a']].concat()
}

/// What a client of HTTP/2 says first, with its settings.
pub(crate) fn hello(settings: &[u8]) -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, settings)].concat()
}

/// Sends what `flood` makes, call by call, until the gateway ends the connection. Whether it did.
async fn flood(address: SocketAddr, mut flood: impl FnMut(u32) -> Vec<u8>) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello(&[])).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = async {
        for n in 0..200_000 {
            if writing.write_all(&flood(n)).await.is_err() {
                return true;
            }
        }
        false
    };
    let draining = async {
        let mut buffer = vec![0; 64 * 1024];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        true
    };
    tokio::select! {
        was_ended = sending => was_ended,
        was_ended = draining => was_ended,
    }
}

#[tokio::test]
async fn resets_in_rapid_succession_end_their_connection_and_reach_nobody() {
    let stub = Stub::plain().await;
    let gateway = Process::start(&[stub.address], &[]).await;
    let before = gateway.rss_kib();

    let served = served_beside(gateway.address, async {
        for _ in 0..20 {
            let was_ended = flood(gateway.address, |n| {
                let stream = 2 * n + 1;
                let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get());
                [request, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
            });
            assert!(was_ended.await, "200,000 resets were borne");
        }
    })
    .await;

    assert!(served > 0);
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
}

#[tokio::test]
async fn headers_that_go_on_for_ever_and_pings_do_not_grow_it() {
    let stub = Stub::plain().await;
    let gateway = Process::start(&[stub.address], &[]).await;
    let before = gateway.rss_kib();

    let served = served_beside(gateway.address, async {
        let field = [&[0x00, 0x03, b'x', b'-', b'a', 0x7f, 0x81, 0x0f], &[b'v'; 2_048 - 64][..]];
        let more = frame(CONTINUATION, 0, 1, &field.concat());
        let endless = flood(gateway.address, |n| match n {
            0 => frame(HEADERS, END_STREAM, 1, &get()),
            _ => more.clone(),
        });
        assert!(endless.await, "a head without an end was read");
        let ping = frame(PING, 0, 0, &[0; 8]).repeat(10);
        flood(gateway.address, |_| ping.clone()).await;
    })
    .await;

    assert!(served > 0);
    let grown = gateway.rss_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
}

#[tokio::test]
async fn a_client_of_http_2_that_opens_no_window_is_let_go() {
    let stub = Stub::plain().await;
    let settings = ["--idle-timeout=300ms", "--write-timeout=300ms"];
    let gateway = Process::start(&[stub.address], &settings).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    // The size of a stream's first window (RFC 9113 §6.5.2): nothing of an answer may be sent.
    let no_window = [0, 4, 0, 0, 0, 0];
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &get());

    stream.write_all(&[hello(&no_window), request].concat()).await.unwrap();

    // Ends only when the gateway ends the connection.
    crate::live::rest(&mut stream).await;
    assert_eq!(stub.seen().len(), 1);
}
