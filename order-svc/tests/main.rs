//! The order service on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "tests: a panic is the report")]

mod amendments;
mod deadlines;
mod erasure;
mod expectations;
mod held;
mod history;
mod http;
mod lists;
mod pressure;
mod reactions;
mod refusals;
mod sagas;
mod shipping;
mod store;

use std::{collections::HashMap, sync::Arc};

use backends::testing::{TestDatabase, database};
use mailbox::{
    Answer, Message,
    testing::{Fixture, message},
};
use order_svc::{
    domain::{LineRequest, Method, OrderRequest},
    input::{AmendedLines, Change, ChangeOrder, Input, PlaceOrder, Request},
    metrics::Metrics,
    reactions::Orders,
    store::MIGRATOR,
    world::Root,
};
use proto::{
    Currency, CustomerId, Event, Money, OrderId, Sku, catalogue, money, orders, payments, stock,
    topic,
};
use sqlx::{AssertSqlSafe, PgConnection};
use time::{Duration, OffsetDateTime};

const PAYMENT: &str = "01932c1e-7b5a-7c3d-8e4f-0123456789ac";

/// The order service of one test: its database, and a mailbox without Kafka.
struct Shop {
    database: TestDatabase,
    mailbox: Fixture<Orders>,
    waiters: service_kit::Waiters,
    /// The last version of each source's events so far, by topic and key.
    versions: HashMap<(&'static str, String), i64>,
}

async fn a_shop() -> Shop {
    let database = database().await;
    chassis::database::migrate(&database.url(), &MIGRATOR).await.unwrap();
    let waiters = service_kit::Waiters::default();
    let reactor = Arc::new(reactor(&waiters));
    let mailbox = Fixture::new(&database.url(), reactor, now);
    let mut shop = Shop { database, mailbox, waiters, versions: HashMap::new() };
    shop.list("mug", "29.99", 5).await;
    shop
}

fn reactor(waiters: &service_kit::Waiters) -> Orders {
    Orders { waiters: waiters.clone(), metrics: Metrics::default() }
}

fn now() -> OffsetDateTime {
    chassis::clock::now()
}

fn later() -> OffsetDateTime {
    now() + Duration::minutes(16)
}

impl Shop {
    /// The same shop with a clock that is past every deadline of now.
    fn after_the_deadlines(mut self) -> Self {
        let reactor = Arc::new(reactor(&self.waiters));
        self.mailbox = Fixture::new(&self.database.url(), reactor, later);
        self
    }

    /// Publishes a product, as inventory-svc does.
    async fn list(&mut self, sku: &str, price: &str, available: i64) {
        let told = self.told(sku, price, available);
        assert_eq!(self.mailbox.hear(vec![told]).await, 0);
    }

    fn told(&mut self, sku: &str, price: &str, available: i64) -> Message {
        let version = self.next(topic::CATALOGUE, sku);
        let event: Event = catalogue::ProductChanged {
            sku: sku.to_owned(),
            name: format!("a {sku}"),
            price: Some(usd(price).into()),
            available,
            version,
        }
        .into();
        message(topic::CATALOGUE, sku, &event.event_type().full_name(), version, event.encode())
    }

    fn next(&mut self, topic: &'static str, key: &str) -> i64 {
        let version = self.versions.entry((topic, key.to_owned())).or_default();
        *version += 1;
        *version
    }

    /// Places an order of two mugs.
    async fn place(&mut self, method: Method) -> OrderId {
        let id = an_id();
        assert_eq!(self.tell(asked(id, method)).await.status, 201);
        id
    }

    async fn tell(&mut self, input: Input) -> Answer {
        self.mailbox.tell(input).await
    }

    async fn cancel(&mut self, order: OrderId) -> Answer {
        let words = "changed my mind".into();
        self.change(order, Change::Cancel { words }).await
    }

    /// Asks for so many mugs instead of what was ordered.
    async fn amend(&mut self, order: OrderId, quantity: u32) -> Answer {
        let sku = Sku::parse("mug").unwrap();
        let lines = [LineRequest::Product { sku, quantity, seen: None }].into();
        let wanted = AmendedLines { lines, names: ["sku"].into() };
        self.change(order, Change::Amend(wanted)).await
    }

    async fn ship(&mut self, order: OrderId) -> Answer {
        let (carrier, tracking_number) = ("post".into(), "1Z".into());
        self.change(order, Change::Ship { carrier, tracking_number }).await
    }

    async fn change(&mut self, order: OrderId, change: Change) -> Answer {
        let conditions = axum::http::HeaderMap::new();
        let changing =
            ChangeOrder { order, caller: chassis::Caller::anonymous(), change, conditions };
        self.tell(Input::Request(Request::Change(changing))).await
    }

    /// Hears messages as one batch; nothing may be parked.
    async fn hear<const N: usize>(&mut self, messages: [Message; N]) {
        assert_eq!(self.mailbox.hear(messages.into()).await, 0, "something was parked");
    }

    /// A message about an order, with the next version of its topic and key.
    fn said(&mut self, order: OrderId, event: impl Into<Event>) -> Message {
        let event = event.into();
        let (topic, key) = (event.topic(), order.to_string());
        let version = self.next(topic, &key);
        let mut message =
            message(topic, &key, &event.event_type().full_name(), version, event.encode());
        message.offset = i64::try_from(message.event_id.as_u128() & 0xffff_ffff_ffff).unwrap();
        message
    }

    fn reserved(&mut self, order: OrderId) -> Message {
        self.reserved_as(order, 1)
    }

    fn reserved_as(&mut self, order: OrderId, revision: u32) -> Message {
        let details = orders::Sealed { key_id: "k1".to_owned(), ..Default::default() };
        let terms = orders::Terms { details: Some(details), ..Default::default() };
        let reserved = stock::StockReserved {
            order_id: order.to_string(),
            reservation_id: PAYMENT.to_owned(),
            revision,
            lines: vec![],
            terms: Some(terms),
        };
        self.said(order, reserved)
    }

    fn rejected(&mut self, order: OrderId) -> Message {
        self.rejected_as(order, 1)
    }

    fn rejected_as(&mut self, order: OrderId, revision: u32) -> Message {
        let missing = vec![stock::Shortage { sku: "mug".to_owned(), wanted: 2, available: 1 }];
        self.said(order, stock::StockRejected { order_id: order.to_string(), revision, missing })
    }

    fn released(&mut self, order: OrderId) -> Message {
        self.said(
            order,
            stock::StockReleased { order_id: order.to_string(), lines: vec![], revision: 1 },
        )
    }

    fn captured(&mut self, order: OrderId) -> Message {
        self.captured_as(order, 1)
    }

    fn captured_as(&mut self, order: OrderId, revision: u32) -> Message {
        // The second revision of the tests is one mug; every other one is two.
        let amount = usd(if revision == 2 { "29.99" } else { "59.98" });
        let captured = payments::PaymentCaptured {
            order_id: order.to_string(),
            payment_id: PAYMENT.to_owned(),
            customer_id: "customer-456".to_owned(),
            revision,
            amount: Some(amount.into()),
            method: orders::PaymentMethod::Card.into(),
        };
        self.said(order, captured)
    }

    fn declined(&mut self, order: OrderId) -> Message {
        self.declined_as(order, 1)
    }

    fn declined_as(&mut self, order: OrderId, revision: u32) -> Message {
        let declined = payments::PaymentDeclined {
            order_id: order.to_string(),
            payment_id: PAYMENT.to_owned(),
            revision,
            amount: Some(usd("59.98").into()),
            code: payments::DeclineCode::CardDeclined.into(),
            ..Default::default()
        };
        self.said(order, declined)
    }

    fn refunded(&mut self, order: OrderId) -> Message {
        let refunded = payments::PaymentRefunded {
            order_id: order.to_string(),
            payment_id: PAYMENT.to_owned(),
            amount: Some(usd("59.98").into()),
            cause: payments::RefundCause::OrderCancelled.into(),
            ..Default::default()
        };
        self.said(order, refunded)
    }

    fn voided(&mut self, order: OrderId) -> Message {
        let (order_id, payment_id) = (order.to_string(), PAYMENT.to_owned());
        self.said(order, payments::PaymentVoided { order_id, payment_id, revision: 1 })
    }

    fn notified(&mut self, order: OrderId) -> Message {
        let sent = proto::notifications::NotificationSent {
            order_id: order.to_string(),
            template: "order_confirmation".to_owned(),
            channel: "email".to_owned(),
            ..Default::default()
        };
        self.said(order, sent)
    }

    async fn db(&mut self) -> &mut PgConnection {
        self.mailbox.db().await
    }

    async fn order(&mut self, id: OrderId) -> Root {
        order_svc::store::orders::find(self.db().await, id, None).await.unwrap().unwrap()
    }

    async fn status(&mut self, id: OrderId) -> &'static str {
        self.order(id).await.order.status().as_str()
    }

    /// The names of the events announced about an order; their versions have to be 1, 2, 3 and so
    /// on.
    async fn names(&mut self, id: OrderId) -> Vec<&'static str> {
        let appended = self.mailbox.outbox().await;
        let ours: Vec<_> = appended.iter().filter(|row| row.key == id.to_string()).collect();
        let versions: Vec<i64> = ours.iter().map(|row| row.version).collect();
        assert!(versions.iter().copied().eq(1..=i64::try_from(versions.len()).unwrap()));
        ours.iter().map(|row| proto::EventType::numbered(row.event_type).unwrap().name).collect()
    }

    async fn count(&mut self, table: &'static str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.db().await)
            .await
            .unwrap()
    }
}

fn an_id() -> OrderId {
    OrderId::new(mailbox::testing::new_id())
}

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

fn request(id: OrderId, method: Method) -> OrderRequest {
    OrderRequest {
        id,
        customer: CustomerId::parse("customer-456").unwrap(),
        currency: Currency::USD,
        lines: [LineRequest::Product {
            sku: Sku::parse("mug").unwrap(),
            quantity: 2,
            seen: Some(usd("29.99")),
        }]
        .into(),
        method,
        pay_within: Duration::minutes(15),
    }
}

/// A request for two mugs.
fn asked(id: OrderId, method: Method) -> Input {
    let details = (method == Method::Card).then(|| orders::Sealed {
        key_id: "k1".to_owned(),
        nonce: vec![1; 12],
        ciphertext: vec![2; 24],
    });
    Input::Request(Request::Place(PlaceOrder {
        request: Arc::new(request(id, method)),
        note: "leave at the door".into(),
        details,
        trace_id: Some([7; 16]),
        request_key: Some("ann\nkey".into()),
        names: ["sku"].into(),
        is_admitted: true,
    }))
}

fn dollars(units: i64, nanos: i32) -> money::Money {
    money::Money { currency_code: "USD".to_owned(), units, nanos }
}
