//! The service's HTTP side for tests.

use std::time::Duration;

use mailbox::{Command, Mailbox};
use payment_svc::{
    charges::{CallLimits, Charges},
    domain::{Due, Event},
    http::{AppState, router},
    input::{Fact, Input, Source},
    provider::{CardRouting, Provider, stripe::webhook::WebhookSecrets},
    reactions::Payments,
};
use proto::OrderId;
use serde_json::{Value, json};
use service_kit::testing::TestClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    LEASE, Shop, a_shop, an_order, customer, mailbox_of, payments, seal_key, stub::Stub, usd,
};

/// The service's HTTP side, with commands and calls but without Kafka.
pub(super) struct Server {
    /// Kept because its database is dropped with it.
    pub(super) shop: Shop,
    pub(super) http: TestClient,
    pub(super) router: axum::Router,
    pub(super) mailbox: Mailbox<Payments>,
    pub(super) stub: Stub,
    _tasks: JoinSet<anyhow::Result<()>>,
}

pub(super) async fn a_server() -> Server {
    a_server_with(Stub::default()).await
}

pub(super) async fn a_server_with(stub: Stub) -> Server {
    a_server_of(stub.clone(), stub, None).await
}

/// A server whose calls go to `provider`, which need not be the stub.
pub(super) async fn a_server_of<P: Provider>(
    provider: P,
    stub: Stub,
    stripe_webhook: Option<WebhookSecrets>,
) -> Server {
    let shop = a_shop().await;
    let waiters = service_kit::Waiters::default();
    let (reactor, calls) = payments(&waiters, LEASE);
    let (mailbox, mut tasks) = mailbox_of(&shop.database, reactor).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let limits = CallLimits { lease: LEASE, longest: LEASE / 3, sweep: Duration::from_millis(20) };
    let charges =
        Charges::new(provider, (mailbox.clone(), pool.clone()), seal_key(), calls, limits);
    tasks.spawn(charges.run(CancellationToken::new()));
    let app = AppState {
        pool,
        mailbox: mailbox.clone(),
        waiters,
        routing: CardRouting { stripe: true },
        stripe_webhook,
    };
    let router = router(app);
    let http = TestClient::new(payment_svc::NAME, router.clone());
    Server { shop, http, router, mailbox, stub, _tasks: tasks }
}

impl Server {
    pub(super) async fn with_account(self, name: &str, money: &str) -> Self {
        let path = format!("/v1/accounts/{name}");
        assert_eq!(self.http.post(&path, json!({})).await.status, 201);
        let deposited = self.http.post(&format!("{path}/deposit"), json!({"amount": money})).await;
        assert_eq!(deposited.status, 201);
        self
    }

    /// Stock is reserved for a deferred order of `c-1`.
    pub(super) async fn waits_for(&self, order: OrderId, amount: &str) {
        self.waits_for_revision(order, 1, amount).await;
    }

    /// Stock is reserved for a revision of a deferred order of `c-1`.
    pub(super) async fn waits_for_revision(&self, order: OrderId, revision: u32, amount: &str) {
        let (customer, amount) = (customer("c-1"), usd(amount));
        let due = Due { customer, revision, amount, instrument: None };
        self.hear(order, Event::StockReserved(due)).await;
    }

    /// An order of `c-1` that is paid: 20.00 by card, or from the wallet.
    pub(super) async fn paid(&self, instrument: Value) -> OrderId {
        let order = an_order();
        self.waits_for(order, "20.00").await;
        let body = json!({"order_id": order.to_string(), "payment_method": instrument});
        assert_eq!(self.http.post("/v1/payments", body).await.status, 201);
        order
    }

    /// The provider answers a call.
    pub(super) async fn answer(&self, order: OrderId, event: Event) {
        let input = Input::Answered { order, event, attempts: 0, trace: None };
        self.mailbox.submit(Command::new(input)).await.unwrap();
    }

    pub(super) async fn hear(&self, order: OrderId, event: Event) {
        let (source, customer) = (Source::Stock, Some(customer("c-1")));
        let fact = Fact { order, source, customer, event, trace: None };
        let input = Input::Heard(Box::new(fact));
        self.mailbox.submit(Command::new(input)).await.unwrap();
    }
}
