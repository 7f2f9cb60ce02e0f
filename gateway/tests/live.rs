//! Gateways behind real sockets, in the test's process and in their own, and clients of them.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use backends::{machine::free_ports, testing::eventually};
use chassis::http::HttpServer;
use hyper::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::TaskTracker;

use crate::stub::Public;

/// Longer than anything takes that ends at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves a gateway in this process.
pub(crate) async fn listen(public: &Public) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = HttpServer { limits: public.limits.clone(), ..HttpServer::default() };
    let serving = server.serve(listener, public.edge.clone(), public.gateway.clone());
    TaskTracker::new().spawn(serving);
    address
}

pub(crate) type TestClient = Client<HttpConnector, Body>;

pub(crate) fn client() -> TestClient {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

pub(crate) fn http2_client() -> TestClient {
    Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new())
}

/// The status and the body of a `GET`.
pub(crate) async fn fetch(
    client: &TestClient,
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), hyper_util::client::legacy::Error> {
    let request = Request::get(format!("http://{address}{path}")).body(Body::empty()).unwrap();
    let response = client.request(request).await?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

/// Sends `bytes` over a connection of its own, and returns all that comes back until it ends.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

/// All that still comes until the connection ends.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    // A reset ends a connection as well.
    drop(read.unwrap());
    String::from_utf8_lossy(&all).into_owned()
}

/// A gateway in a process of its own.
pub(crate) struct Process {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a gateway before `services`, on a port that is free.
    pub(crate) async fn start(services: &[SocketAddr], settings: &[&str]) -> Self {
        let [port] = free_ports().unwrap();
        Self::start_at(port, services, settings).await
    }

    pub(crate) async fn start_at(port: u16, services: &[SocketAddr], settings: &[&str]) -> Self {
        let list: Vec<String> = services.iter().map(ToString::to_string).collect();
        let urls = ["order", "payment", "inventory", "notify"]
            .map(|service| format!("--{service}-url={}", list.join(",")));
        let [admin] = free_ports().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(urls)
            .args([format!("--port={port}"), format!("--admin-port={admin}")])
            .arg("--jwks=off")
            .args(settings)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        // A full pipe would stop the process.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let [address, admin] = [port, admin].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let this = Self { child: Some(child), address, admin, log };
        eventually("the gateway to listen", PATIENCE, async || {
            let ready = fetch(&client(), admin, "/readyz").await.map(|(status, _)| status);
            if matches!(ready, Ok(StatusCode::OK)) { Ok(()) } else { Err(this.log().join("\n")) }
        })
        .await;
        this
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Waits until the process has ended by itself, and tells whether it ended well.
    pub(crate) async fn end(mut self) -> bool {
        let mut child = self.child.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap().success());
        tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap()
    }

    /// The memory that the process has, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Fails when it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
