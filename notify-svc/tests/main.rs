//! The notification service on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "tests: a panic is the report")]

mod deliveries;
mod encrypted;
mod erasure;
mod expectations;
mod held;
mod http;
mod letters;
mod operators;
mod reactions;
mod refusing;
mod sink;
mod store;
mod webhooks;

use std::{sync::Arc, time::Duration};

use backends::testing::{TestDatabase, database};
use chassis::clock;
use mailbox::{
    Mailbox, Message,
    testing::{Fixture, message},
};
use notify_svc::{
    domain::Contact,
    input::{Input, Request},
    jobs::JobQueues,
    reactions::Notify,
    store::MIGRATOR,
    world::Job,
};
use proto::{CustomerId, Event, OrderId, money, orders, payments, topic};
use service_kit::testing::mailbox_without_kafka;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// How long a test waits for what is to happen.
const SOON: Duration = Duration::from_secs(20);
const CUSTOMER: &str = "customer-456";

/// The notification service of one test: its database, and a mailbox without Kafka.
struct Shop {
    database: TestDatabase,
    mailbox: Fixture<Notify>,
    reactor: Arc<Notify>,
    /// The deliveries that committed batches queued.
    jobs: [mpsc::Receiver<Vec<Job>>; 3],
    /// Changes when there may be something to tell webhooks.
    fresh: watch::Receiver<()>,
    /// How many messages were heard so far: the version of the last one.
    heard: i64,
}

async fn a_shop() -> Shop {
    let database = database().await;
    chassis::database::migrate(&database.url(), &MIGRATOR).await.unwrap();
    let (handed, jobs) = JobQueues::new();
    let (webhooks, fresh) = watch::channel(());
    let reactor = Arc::new(Notify { jobs: handed, webhooks });
    let mailbox = Fixture::new(&database.url(), Arc::clone(&reactor), clock::now);
    Shop { database, mailbox, reactor, jobs, fresh, heard: 0 }
}

impl Shop {
    async fn with_contact(self) -> Self {
        let email = Some("jane@shop.example".to_owned());
        self.with(Contact { email, ..Contact::default() }).await
    }

    async fn with(mut self, contact: Contact) -> Self {
        let input = Input::Request(Request::PutContact {
            customer: CustomerId::parse(CUSTOMER).unwrap(),
            contact,
            conditions: axum::http::HeaderMap::new(),
        });
        assert_eq!(self.mailbox.tell(input).await.status, 200);
        self
    }

    /// Hears messages as one batch; nothing may be parked.
    async fn hear(&mut self, messages: impl Into<Vec<Message>>) {
        assert_eq!(self.mailbox.hear(messages.into()).await, 0, "something was parked");
    }

    fn said(&mut self, order: OrderId, event: impl Into<Event>) -> Message {
        self.heard += 1;
        let event = event.into();
        let name = event.event_type().full_name();
        message(event.topic(), &order.to_string(), &name, self.heard, event.encode())
    }

    fn confirmed(&mut self, order: OrderId) -> Message {
        let line = orders::Line {
            line: 1,
            sku: "mug".to_owned(),
            name: "Blue mug".to_owned(),
            quantity: 2,
            unit_price: Some(dollars(30)),
        };
        let confirmed = orders::OrderConfirmed {
            order_id: order.to_string(),
            customer_id: CUSTOMER.to_owned(),
            revision: 1,
            total: Some(dollars(60)),
            lines: vec![line],
        };
        self.said(order, confirmed)
    }

    fn cancelled(&mut self, order: OrderId) -> Message {
        let cancelled = orders::OrderCancelled {
            order_id: order.to_string(),
            customer_id: CUSTOMER.to_owned(),
            revision: 1,
            reason: orders::CancelReason::CustomerRequest.into(),
            total: Some(dollars(60)),
            ..orders::OrderCancelled::default()
        };
        self.said(order, cancelled)
    }

    fn awaiting_payment(&mut self, order: OrderId, revision: u32) -> Message {
        let awaiting = orders::OrderAwaitingPayment {
            order_id: order.to_string(),
            customer_id: CUSTOMER.to_owned(),
            revision,
            amount: Some(dollars(60)),
            pay_by: "2026-11-20T10:15:00.000000Z".to_owned(),
        };
        self.said(order, awaiting)
    }

    fn shipped(&mut self, order: OrderId) -> Message {
        let shipped = orders::OrderShipped {
            order_id: order.to_string(),
            customer_id: CUSTOMER.to_owned(),
            carrier: "Parcel & Co".to_owned(),
            tracking_number: "1Z999".to_owned(),
            revision: 2,
        };
        self.said(order, shipped)
    }

    fn delivered(&mut self, order: OrderId) -> Message {
        let (order_id, customer_id) = (order.to_string(), CUSTOMER.to_owned());
        self.said(order, orders::OrderDelivered { order_id, customer_id, revision: 2 })
    }

    fn refunded(&mut self, order: OrderId) -> Message {
        let refunded = payments::PaymentRefunded {
            order_id: order.to_string(),
            customer_id: CUSTOMER.to_owned(),
            amount: Some(dollars(60)),
            cause: payments::RefundCause::OrderCancelled.into(),
            revision: 1,
            ..payments::PaymentRefunded::default()
        };
        self.said(order, refunded)
    }

    /// The deliveries that were queued for the workers so far.
    fn handed(&mut self) -> Vec<Job> {
        let queues = self.jobs.iter_mut();
        queues.flat_map(|queue| std::iter::from_fn(|| queue.try_recv().ok()).flatten()).collect()
    }

    async fn run(&mut self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(self.mailbox.db().await).await.unwrap();
    }

    /// The names of the events announced.
    async fn said_of_orders(&mut self) -> Vec<&'static str> {
        let rows = self.mailbox.outbox().await;
        rows.iter().map(|row| proto::EventType::numbered(row.event_type).unwrap().name).collect()
    }

    async fn count(&mut self, table: &'static str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.mailbox.db().await)
            .await
            .unwrap()
    }

    /// A mailbox whose commands run, without Kafka.
    async fn running(&self) -> (Mailbox<Notify>, JoinSet<anyhow::Result<()>>) {
        let (url, reactor) = (self.database.url(), Arc::clone(&self.reactor));
        mailbox_without_kafka(notify_svc::NAME, &[topic::NOTIFICATIONS], &url, reactor).await
    }
}

fn an_order() -> OrderId {
    OrderId::new(mailbox::testing::new_id())
}

fn dollars(units: i64) -> money::Money {
    money::Money { currency_code: "USD".to_owned(), units, nanos: 0 }
}
