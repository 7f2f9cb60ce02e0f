//! What services' tests share beside `mailbox::testing`: a client of a service's router, and a
//! mailbox whose commands run. What services expect of one another is in `expectations`.

pub mod answers;
pub mod expectations;

use std::{
    borrow::Borrow,
    fmt::Write as _,
    sync::{Arc, atomic::AtomicBool},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use chassis::{Guard, Health, http::Edge, identity::GuardedHandler};
use mailbox::{Loop, Mailbox, Reactor, testing::Fixture};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Sends requests to a service's router through the edge, as a server would, but without a socket.
#[derive(Clone)]
pub struct TestClient {
    edge: Edge,
    router: GuardedHandler<Router>,
}

/// An answer, with its whole body: JSON, or null where there is none.
#[derive(Debug)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestClient {
    /// A client of the `router` of `service`, which counts as started. Identity is off.
    pub fn new(service: &'static str, router: Router) -> Self {
        let started = Arc::new(AtomicBool::new(true));
        let edge = Edge::new(Health::new(service, started, CancellationToken::new()));
        Self { edge, router: Guard::off().protect(router) }
    }

    /// The answer to any request.
    pub async fn send(&self, request: Request<Body>) -> TestResponse {
        let response = self.edge.answer(self.router.clone(), request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("the body is in memory");
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("every body is JSON")
        };
        TestResponse { status: parts.status, headers: parts.headers, body }
    }

    /// The answer to a request with these headers, and a JSON body if there is one.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> TestResponse {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("the test's request is well-formed")).await
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.ask("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: impl Borrow<Value>) -> TestResponse {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Borrow<Value>,
    ) -> TestResponse {
        self.ask("POST", path, headers, Some(body.borrow())).await
    }

    pub async fn put(&self, path: &str, body: impl Borrow<Value>) -> TestResponse {
        self.ask("PUT", path, &[], Some(body.borrow())).await
    }
}

impl TestResponse {
    /// The status, and a problem's code.
    pub fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }

    /// Where a problem's first error is.
    pub fn pointer(&self) -> &str {
        self.body["errors"][0]["pointer"].as_str().unwrap_or_default()
    }

    /// A header as text, empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("our headers are ASCII"))
    }
}

/// A mailbox on a migrated test database, whose commands and bulk operations run until the tasks are
/// dropped. Kafka is away; `says` are the topics on which the service publishes.
pub async fn mailbox_without_kafka<R: Reactor>(
    service: &'static str,
    says: &[&str],
    database_url: &str,
    reactor: Arc<R>,
) -> (Mailbox<R>, JoinSet<anyhow::Result<()>>) {
    let nowhere = [("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let options = crate::options(service, says, database_url, nowhere.into_iter());
    let (mailbox, loops) = Mailbox::open(options, reactor).await.expect("the options are good");
    let mut tasks = JoinSet::new();
    for Loop { name, run, .. } in loops {
        if ["commands", "bulk"].contains(&name) {
            tasks.spawn(run(CancellationToken::new()));
        }
    }
    (mailbox, tasks)
}

/// Whether a text is anywhere in the database: as text, or within bytes, which a dump writes as
/// hexadecimals. Kept answers are bytes.
pub async fn is_found<R: Reactor>(fixture: &mut Fixture<R>, text: &str) -> bool {
    let bytes = text.bytes().fold(String::new(), |mut bytes, byte| {
        write!(bytes, "{byte:02x}").expect("text takes what is written");
        bytes
    });
    let dump = fixture.dump().await;
    dump.values().flatten().any(|row| row.contains(text) || row.contains(&bytes))
}
