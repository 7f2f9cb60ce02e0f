//! Attacks on the gateway of a whole shop, one after another: beside each, every order is taken and
//! confirmed, and the gateway's memory stays bounded. What becomes of the attackers themselves is
//! looked at in gateway/tests/hostile.rs and floods.rs.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backends::testing::eventually;
use e2e::{Product, Shop, WITHIN, alone_in_the_shop, resident_kib};
use futures::future::{join_all, pending};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Orders beside each attack, and the pause from one to the next: few, so that each that is late or
/// fails does so because of the attack.
const ORDERS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(150);
/// Connections that are only held.
const IDLE: usize = 3_000;
/// Connections whose heads never end.
const SLOW: usize = 300;
/// Attackers at once where each begins anew as soon as it was cut off.
const FLOODS: usize = 8;
/// What the gateway may grow by in all attacks: 32 KiB for each connection that is held, which is
/// hyper's buffers and the room of a request's handler.
const GROWTH_KIB_MAX: i64 = 32 * 3_000;

/// How often an attack has struck.
type Strikes = Arc<AtomicUsize>;
/// An attack, which goes on until it is dropped.
type Attack = Pin<Box<dyn Future<Output = ()> + Send>>;
/// What it is called, how many strikes are many, and how it begins.
type NamedAttack = (&'static str, usize, fn(SocketAddr, Strikes) -> Attack);

#[test]
fn orders_beside_attacks_are_all_confirmed_and_memory_is_bounded() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    alone_in_the_shop(async |shop| {
        let gateway = shop.stack().gateway();
        let gateway: SocketAddr = gateway.strip_prefix("http://").unwrap().parse().unwrap();
        let mug = shop.lists("5.00", 1_000).await;
        let before = resident_kib(shop, "gateway");
        let attacks: [NamedAttack; 4] = [
            ("slow heads", SLOW, |at, strikes| Box::pin(slow_heads(at, strikes))),
            ("rapid resets", 1_000, |at, strikes| Box::pin(floods(at, strikes, resets))),
            ("large heads", 100, |at, strikes| Box::pin(floods(at, strikes, large_heads))),
            ("idle connections", IDLE, |at, strikes| Box::pin(idle(at, strikes))),
        ];

        for (name, strikes_min, attack) in attacks {
            let strikes = Strikes::default();
            let mut attacking = JoinSet::new();
            attacking.spawn(attack(gateway, Arc::clone(&strikes)));
            eventually(&format!("{name} in number"), WITHIN, async || {
                let struck = strikes.load(Ordering::Relaxed);
                if struck >= strikes_min { Ok(()) } else { Err(struck.to_string()) }
            })
            .await;

            let grown = orders(shop, &mug).await - before;

            // An attack that has ended could not go on, and says why.
            if let Some(ended) = attacking.try_join_next() {
                ended.unwrap();
            }
            assert!(grown < GROWTH_KIB_MAX, "{name}: {grown} KiB more");
        }
    });
}

/// Places orders at a steady rate, and waits until each is confirmed. Returns the most memory that
/// the gateway had meanwhile, in KiB.
async fn orders(shop: &Shop, mug: &Product) -> i64 {
    let (begun, peak) = (Instant::now(), AtomicI64::new(0));
    let orders = (0..ORDERS).map(async |n| {
        sleep_until(begun + PAUSE * n).await;
        let order = shop.place(shop.a_stranger().wants(1, mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;
        peak.fetch_max(resident_kib(shop, "gateway"), Ordering::Relaxed);
    });
    join_all(orders).await;
    peak.into_inner()
}

/// Heads that come field by field, each in time, and never end; who is cut off begins anew.
async fn slow_heads(gateway: SocketAddr, strikes: Strikes) {
    let slow_head = async || loop {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        strikes.fetch_add(1, Ordering::Relaxed);
        let mut is_open = stream.write_all(b"GET /v1/orders HTTP/1.1\r\n").await.is_ok();
        while is_open {
            sleep(Duration::from_millis(100)).await;
            is_open = stream.write_all(b"x-a: b\r\n").await.is_ok();
        }
    };
    join_all((0..SLOW).map(|_| slow_head())).await;
}

/// Connections that do nothing, half of them within a head.
async fn idle(gateway: SocketAddr, strikes: Strikes) {
    let mut held = Vec::with_capacity(IDLE);
    while held.len() < IDLE {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        if held.len() % 2 == 0 {
            stream.write_all(b"GET /v1/orders HTTP/1.1\r\nx").await.unwrap();
        }
        held.push(stream);
        strikes.fetch_add(1, Ordering::Relaxed);
    }
    pending::<()>().await;
}

/// Several connections at once, each of which sends what `strike` makes, call by call, until it is
/// cut off, and begins anew.
async fn floods(gateway: SocketAddr, strikes: Strikes, strike: fn(u32) -> Vec<u8>) {
    let flood = async || loop {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let sending = async {
            for n in 0.. {
                if writing.write_all(&strike(n)).await.is_err() {
                    break;
                }
                strikes.fetch_add(1, Ordering::Relaxed);
            }
        };
        // Who read nothing would be waited for.
        let draining = async {
            let mut buffer = vec![0; 16 * 1024];
            while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        };
        tokio::select! {
            () = sending => {}
            () = draining => {}
        }
    };
    join_all((0..FLOODS).map(|_| flood())).await;
}

/// A head beyond every limit: a field of 20,000 bytes, and then more fields without an end.
fn large_heads(n: u32) -> Vec<u8> {
    if n == 0 {
        let wide = "a".repeat(20_000);
        return format!("GET /v1/products HTTP/1.1\r\nHost: shop\r\nx-a: {wide}\r\n").into();
    }
    b"x-a: 1\r\n".repeat(100)
}

/// Requests over HTTP/2 that are taken back at once (CVE-2023-44487).
fn resets(n: u32) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_STREAM_AND_HEADERS: u8 = 5;
    if n == 0 {
        return [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    }
    let stream = 2 * n - 1;
    // `GET http://a/v1/products`, its fields coded one by one (RFC 7541).
    let request = b"\x82\x86\x04\x0c/v1/products\x41\x01a";
    let cancel = [0, 0, 0, 8];
    [frame(HEADERS, END_STREAM_AND_HEADERS, stream, request), frame(RST_STREAM, 0, stream, &cancel)]
        .concat()
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}
