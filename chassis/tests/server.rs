//! The server's own limits, over real connections.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::get};
use chassis::{Health, http};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// The handler signals that it began, and waits for the signal to end.
    began: Arc<Notify>,
    end: Arc<Notify>,
    ended: JoinHandle<anyhow::Result<()>>,
}

async fn serve() -> Server {
    let (began, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = async |State((began, end)): State<(Arc<Notify>, Arc<Notify>)>| {
        began.notify_one();
        end.notified().await;
        "done"
    };
    let handler = Router::new()
        .route("/slow", get(slow))
        .route("/", get(async || "here"))
        .with_state((Arc::clone(&began), Arc::clone(&end)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let started = Arc::new(AtomicBool::new(true));
    let edge = http::Edge::new(Health::new("test-svc", started, stop.clone()));
    let serving = http::serve(listener, edge, handler, stop.clone());
    let ended = tokio_util::task::TaskTracker::new().spawn(serving);
    Server { address, stop, began, end, ended }
}

async fn all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let server = serve().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let began = Instant::now();

    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(15), all(stream)).await.unwrap();

    assert!(!answered.contains("200 OK"), "{answered}");
    assert!(began.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = serve().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let headers = "x-a: 1\r\n".repeat(100);

    stream.write_all(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();

    assert!(all(stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn stopping_finishes_what_is_in_hand_and_takes_nothing_new() {
    let server = serve().await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let idle = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.began.notified().await;

    server.stop.cancel();
    assert_eq!(all(idle).await, "");
    server.end.notify_one();

    let answered = all(busy).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK") && answered.ends_with("done"), "{answered}");
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// Closing a listener resets what waits in its queue: those who connected a moment before.
#[tokio::test]
async fn whoever_can_connect_while_the_server_stops_is_answered() {
    for _ in 0..STOPS {
        let server = serve().await;
        let address = server.address;
        let (answered, mut first) = mpsc::channel(1);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let answered = answered.clone();
                tokio::task::spawn_blocking(move || ask_until_refused(address, &answered))
            })
            .collect();
        first.recv().await.unwrap();
        server.stop.cancel();

        for client in clients {
            client.await.unwrap();
        }
        server.ended.await.unwrap().unwrap();
    }
}

/// How many clients ask while a server stops, and how many servers do.
const CLIENTS: usize = 8;
const STOPS: usize = 5;

/// Asks over a connection each, until none can be made. Blocking: each client has its own thread.
fn ask_until_refused(address: SocketAddr, has_answered: &mpsc::Sender<()>) {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    let ask = |mut stream: TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answered = String::new();
        stream.read_to_string(&mut answered)?;
        std::io::Result::Ok(answered)
    };
    while let Ok(stream) = TcpStream::connect(address) {
        let answered = ask(stream).expect("an answer to whoever could connect");
        assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
        // One word is enough.
        let _is_told = has_answered.try_send(());
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = serve().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();

    let two =
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(two.as_bytes()).await.unwrap();

    assert_eq!(all(stream).await.matches("200 OK").count(), 2);
}
