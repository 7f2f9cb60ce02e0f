//! A service whose answers a test chooses, and a gateway in front of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use chassis::{
    Guard, Health,
    http::{Edge, ServerLimits},
};
use clap::Parser;
use gateway::{Gateway, config::Config, discovery::Resolver};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A request that a stub got.
#[derive(Clone, Debug)]
pub(crate) struct StubRequest {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A service that remembers its requests and answers with a function of the test.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<StubRequest>>>,
    pub(crate) stop: CancellationToken,
}

type Answer = Arc<dyn Fn(&StubRequest) -> Response + Send + Sync>;

impl Stub {
    pub(crate) async fn start(
        answer: impl Fn(&StubRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(&StubRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let stub = Self { address, seen: Arc::default(), stop: CancellationToken::new() };
        let answer: Answer = Arc::new(answer);
        let handler = Router::new().fallback(reply).with_state((stub.clone(), answer));
        let serving = chassis::http::serve(listener, edge("stub"), handler, stub.stop.clone());
        TaskTracker::new().spawn(serving);
        stub
    }

    pub(crate) async fn plain() -> Self {
        Self::start(|_| "here".into_response()).await
    }

    pub(crate) fn seen(&self) -> Vec<StubRequest> {
        self.seen.lock().unwrap().clone()
    }
}

async fn reply(State((stub, answer)): State<(Stub, Answer)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let seen = StubRequest {
        method: parts.method,
        uri: parts.uri.to_string(),
        headers: parts.headers,
        body,
    };
    let response = answer(&seen);
    stub.seen.lock().unwrap().push(seen);
    response
}

fn edge(name: &'static str) -> Edge {
    Edge::new(health(name))
}

pub(crate) fn health(name: &'static str) -> Health {
    Health::new(name, Arc::new(AtomicBool::new(true)), CancellationToken::new())
}

/// A gateway with its edge.
#[derive(Clone)]
pub(crate) struct Public {
    pub(crate) gateway: Gateway,
    pub(crate) edge: Edge,
    pub(crate) limits: ServerLimits,
}

/// A gateway with every service at `addresses`, and further settings.
pub(crate) fn gateway(addresses: &[SocketAddr], settings: &[&str]) -> Public {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let urls = ["order", "payment", "inventory", "notify"]
        .map(|service| format!("--{service}-url={}", list.join(",")));
    with_settings(urls.iter().map(String::as_str).chain(settings.iter().copied()))
}

pub(crate) fn with_settings<'a>(settings: impl Iterator<Item = &'a str>) -> Public {
    with_resolver(Resolver::system(), settings)
}

pub(crate) fn with_resolver<'a>(
    resolver: Resolver,
    settings: impl Iterator<Item = &'a str>,
) -> Public {
    let config = Config::parse_from(["gateway", "--jwks", "off"].into_iter().chain(settings));
    let gateway = Gateway::new(&config, resolver, Guard::off()).unwrap();
    let health = health("gateway");
    gateway.watch(&health);
    let edge = gateway::edge(&config, health).limited(config.limits.clone());
    Public { gateway, edge, limits: config.limits }
}

impl Public {
    pub(crate) async fn send(&self, request: Request) -> Response {
        self.edge.answer(self.gateway.clone(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The status and the code of a problem.
    pub(crate) async fn refusal(&self, request: Request) -> (u16, String) {
        let response = self.send(request).await;
        let status = response.status().as_u16();
        let problem = json(response).await;
        assert!(problem["trace_id"].is_string() && problem["instance"].is_string(), "{problem}");
        (status, problem["code"].as_str().unwrap().to_owned())
    }
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn json(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}
