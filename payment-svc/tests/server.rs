//! The service's HTTP side for tests.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use chassis::{Health, http::Edge};
use mailbox::{Command, Mailbox};
use payment_svc::{
    charges::{CallLimits, Charges},
    domain::{Due, Event},
    http::{AppState, router},
    input::{Fact, Input, Source},
    reactions::Payments,
};
use proto::OrderId;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{LEASE, Shop, a_shop, customer, mailbox_of, payments, stub::Stub, usd};

/// The service's HTTP side, with commands and calls but without Kafka.
pub(super) struct Server {
    /// Kept because its database is dropped with it.
    pub(super) shop: Shop,
    edge: Edge,
    router: axum::Router,
    pub(super) mailbox: Mailbox<Payments>,
    pub(super) stub: Stub,
    _tasks: JoinSet<anyhow::Result<()>>,
}

pub(super) struct TestResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

pub(super) async fn a_server() -> Server {
    a_server_with(Stub::default()).await
}

pub(super) async fn a_server_with(stub: Stub) -> Server {
    let shop = a_shop().await;
    let waiters = service_kit::Waiters::default();
    let (reactor, calls) = payments(&waiters, LEASE);
    let (mailbox, mut tasks) = mailbox_of(&shop.database, reactor).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let limits = CallLimits { lease: LEASE, longest: LEASE / 3, sweep: Duration::from_millis(20) };
    let charges = Charges::new(stub.clone(), mailbox.clone(), pool.clone(), calls, limits);
    tasks.spawn(charges.run(CancellationToken::new()));
    let started = Arc::new(AtomicBool::new(true));
    let edge = Edge::new(Health::new(payment_svc::NAME, started, CancellationToken::new()));
    let router = router(AppState { pool, mailbox: mailbox.clone(), waiters });
    Server { shop, edge, router, mailbox, stub, _tasks: tasks }
}

impl Server {
    async fn send(&self, request: Request<Body>) -> TestResponse {
        let response = self.edge.answer(self.router.clone(), request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        TestResponse { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> TestResponse {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> TestResponse {
        self.post_with(path, &[], body).await
    }

    pub(super) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> TestResponse {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(super) async fn with_account(self, name: &str, money: &str) -> Self {
        let path = format!("/v1/accounts/{name}");
        assert_eq!(self.post(&path, json!({})).await.status, 201);
        let deposited = self.post(&format!("{path}/deposit"), json!({"amount": money})).await;
        assert_eq!(deposited.status, 201);
        self
    }

    /// Stock is reserved for a deferred order of `c-1`.
    pub(super) async fn waits_for(&self, order: OrderId, amount: &str) {
        let (customer, amount) = (customer("c-1"), usd(amount));
        let due = Due { customer, revision: 1, amount, instrument: None };
        self.hear(order, Event::StockReserved(due)).await;
    }

    pub(super) async fn hear(&self, order: OrderId, event: Event) {
        let (source, customer) = (Source::Stock, Some(customer("c-1")));
        let fact = Fact { order, source, customer, event, trace: None };
        let input = Input::Heard(Box::new(fact));
        self.mailbox.submit(Command::new(input)).await.unwrap();
    }
}

impl TestResponse {
    pub(super) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }

    pub(super) fn pointer(&self) -> &str {
        self.body["errors"][0]["pointer"].as_str().unwrap_or_default()
    }
}
