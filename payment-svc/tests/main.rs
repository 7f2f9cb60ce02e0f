//! The payment service on a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests: a panic is the report")]

mod accounts;
mod amended;
mod charges;
mod details;
mod expectations;
mod held;
mod http;
mod patience;
mod provider;
mod reactions;
mod refunds;
mod server;
mod silence;
mod store;
mod stripe;
mod stub;

use std::{sync::Arc, time::Duration};

use backends::testing::{TestDatabase, database};
use chassis::clock;
use mailbox::{
    Answer, Mailbox, Message,
    testing::{Fixture, OutboxRow, message},
};
use payment_svc::{
    input::{Input, Request},
    provider::CardRouting,
    reactions::Payments,
    store::MIGRATOR,
    world::CallRow,
};
use proto::{
    Currency, CustomerId, Event, Money, OrderId, SealKeyRing,
    orders::{self, PaymentMethod},
    payments::payment_event,
    stock, topic,
};
use serde_json::Value;
use service_kit::testing::mailbox_without_kafka;
use sqlx::AssertSqlSafe;
use tokio::{sync::mpsc, task::JoinSet};

/// A seal key for tests: 32 bytes that are no secret.
const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Another one, that the service of these tests does not have.
const OTHER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const LEASE: Duration = Duration::from_secs(30);

/// The payment service of one test: its database, and a mailbox without Kafka.
struct Shop {
    database: TestDatabase,
    mailbox: Fixture<Payments>,
    /// The calls that committed batches began.
    calls: mpsc::Receiver<CallRow>,
    /// How many messages were heard so far: the version of the last one.
    heard: i64,
}

async fn a_shop() -> Shop {
    let database = database().await;
    chassis::database::migrate(&database.url(), &MIGRATOR).await.unwrap();
    let (reactor, calls) = payments(&service_kit::Waiters::default(), LEASE);
    let mailbox = Fixture::new(&database.url(), Arc::new(reactor), clock::now);
    Shop { database, mailbox, calls, heard: 0 }
}

fn payments(
    waiters: &service_kit::Waiters,
    lease: Duration,
) -> (Payments, mpsc::Receiver<CallRow>) {
    let (begun, calls) = mpsc::channel(1_000);
    let (seal_key, routing) = (seal_key(), CardRouting { stripe: true });
    (Payments { seal_key, routing, lease, begun, waiters: waiters.clone() }, calls)
}

/// A running mailbox for commands, without Kafka.
async fn mailbox_of(
    database: &TestDatabase,
    reactor: Payments,
) -> (Mailbox<Payments>, JoinSet<anyhow::Result<()>>) {
    let url = database.url();
    mailbox_without_kafka(payment_svc::NAME, &[topic::PAYMENTS], &url, Arc::new(reactor)).await
}

impl Shop {
    /// Opens an account with money for a customer.
    async fn with_account(mut self, name: &str, money: &str) -> Self {
        let request = Request::OpenAccount { customer: customer(name), currency: Currency::USD };
        assert_eq!(self.ask(request).await.status, 201);
        let request = Request::Deposit { customer: customer(name), amount: usd(money).into() };
        assert_eq!(self.ask(request).await.status, 201);
        self
    }

    async fn ask(&mut self, request: Request) -> Answer {
        self.tell(Input::Request(request)).await
    }

    async fn tell(&mut self, input: Input) -> Answer {
        self.mailbox.tell(input).await
    }

    /// Hears messages as one batch; nothing may be parked.
    async fn hear(&mut self, messages: impl Into<Vec<Message>>) {
        assert_eq!(self.mailbox.hear(messages.into()).await, 0, "something was parked");
    }

    fn said(&mut self, order: OrderId, event: impl Into<Event>) -> Message {
        self.heard += 1;
        let event = event.into();
        let kind = event.event_type();
        let key = order.to_string();
        message(kind.topic, &key, &kind.full_name(), self.heard, event.encode())
    }

    fn reserved(&mut self, order: OrderId, terms: orders::Terms) -> Message {
        self.reserved_again(order, 1, terms)
    }

    fn reserved_again(&mut self, order: OrderId, revision: u32, terms: orders::Terms) -> Message {
        let order_id = order.to_string();
        let terms = Some(terms);
        self.said(order, stock::StockReserved { order_id, revision, terms, ..Default::default() })
    }

    fn cancelled(&mut self, order: OrderId) -> Message {
        let order_id = order.to_string();
        let customer_id = "c-1".to_owned();
        let cancelled =
            orders::OrderCancelled { order_id, customer_id, revision: 1, ..Default::default() };
        self.said(order, cancelled)
    }

    /// The events announced, in order.
    async fn outbox(&mut self) -> Vec<payment_event::Event> {
        let event = |row: &OutboxRow| match Event::decode(topic::PAYMENTS, &row.payload) {
            Ok(Some(Event::Payments(event))) => event,
            other => panic!("not about payments: {other:?}"),
        };
        self.mailbox.outbox().await.iter().map(event).collect()
    }

    /// The events announced, by name, with their versions.
    async fn told(&mut self) -> Vec<(&'static str, i64)> {
        let told = |row: OutboxRow| {
            let kind = proto::EventType::numbered(row.event_type).unwrap();
            (kind.name, row.version)
        };
        self.mailbox.outbox().await.into_iter().map(told).collect()
    }

    async fn balance(&mut self, name: &str) -> (Money, Money) {
        let row = payment_svc::store::accounts::find(self.mailbox.db().await, &customer(name))
            .await
            .unwrap();
        let account = row.unwrap().account;
        (account.available(), account.held)
    }

    async fn count(&mut self, table: &'static str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.mailbox.db().await)
            .await
            .unwrap()
    }

    /// Kind, debit, credit and amount of a customer's entries.
    async fn ledger(&mut self, name: &str) -> Vec<String> {
        let db = self.mailbox.db().await;
        let entries =
            payment_svc::store::ledger_entries::page(db, &customer(name), 0, 100).await.unwrap();
        entries
            .iter()
            .map(|e| format!("{} {}→{} {}", e.kind, e.debit, e.credit, e.amount.amount_text()))
            .collect()
    }
}

fn seal_key() -> SealKeyRing {
    SealKeyRing::parse(SEAL_KEY).unwrap()
}

fn an_order() -> OrderId {
    OrderId::new(mailbox::testing::new_id())
}

fn customer(name: &str) -> CustomerId {
    CustomerId::parse(name).unwrap()
}

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

fn terms(name: &str, amount: &str, method: PaymentMethod) -> orders::Terms {
    orders::Terms {
        customer_id: name.to_owned(),
        amount: Some(usd(amount).into()),
        method: method.into(),
        details: None,
    }
}

fn by_wallet(name: &str, amount: &str) -> orders::Terms {
    terms(name, amount, PaymentMethod::Wallet)
}

fn deferred(name: &str, amount: &str) -> orders::Terms {
    terms(name, amount, PaymentMethod::Deferred)
}

fn by_card(order: OrderId, token: &str, amount: &str) -> orders::Terms {
    let details = Some(seal_key().seal(order, token.as_bytes()));
    orders::Terms { details, ..terms("c-1", amount, PaymentMethod::Card) }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}
