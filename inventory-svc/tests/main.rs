//! The inventory service on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "tests: a panic is the report")]

mod amendments;
mod expectations;
mod held;
mod http;
mod products;
mod reactions;
mod reservations;
mod store;
mod warehouses;

use std::sync::Arc;

use backends::testing::{TestDatabase, database};
use chassis::clock;
use inventory_svc::{input::Input, input::Request, reactions::Inventory, store::MIGRATOR};
use mailbox::{
    Answer, Message,
    testing::{Fixture, message},
};
use proto::{Currency, Event, Money, OrderId, Sku, WarehouseId, money, orders, topic};
use time::Duration;

/// The inventory service of one test: its database, and a mailbox without Kafka.
struct Shop {
    database: TestDatabase,
    mailbox: Fixture<Inventory>,
    /// How many messages were heard so far: the version of the last one.
    heard: i64,
}

async fn a_shop() -> Shop {
    let database = database().await;
    chassis::database::migrate(&database.url(), &MIGRATOR).await.unwrap();
    let reactor = Arc::new(inventory());
    let mailbox = Fixture::new(&database.url(), reactor, clock::now);
    Shop { database, mailbox, heard: 0 }
}

fn inventory() -> Inventory {
    Inventory { hold: Duration::minutes(20) }
}

impl Shop {
    /// Lists a product and puts pieces of it into the main warehouse.
    async fn with_stock(mut self, sku: &str, pieces: i64) -> Self {
        let price = Money::parse("29.99", Currency::USD).unwrap();
        let name = format!("a {sku}");
        let sku = Sku::parse(sku).unwrap();
        let (price, conditions) = (price.into(), axum_headers());
        let put = Request::PutProduct { sku: sku.clone(), name, price, conditions };
        assert_eq!(self.ask(put).await.status, 201);
        assert_eq!(self.adjust(sku.as_str(), "main", pieces).await.status, 200);
        self
    }

    async fn ask(&mut self, request: Request) -> Answer {
        self.mailbox.tell(Input::Request(request)).await
    }

    async fn adjust(&mut self, sku: &str, warehouse: &str, delta: i64) -> Answer {
        self.ask(Request::AdjustStock {
            sku: Sku::parse(sku).unwrap(),
            warehouse: WarehouseId::parse(warehouse).unwrap(),
            delta,
            reason: "received".to_owned(),
            caller: "anonymous".to_owned(),
        })
        .await
    }

    /// Hears messages as one batch; nothing may be parked.
    async fn hear(&mut self, messages: impl Into<Vec<Message>>) {
        assert_eq!(self.mailbox.hear(messages.into()).await, 0, "something was parked");
    }

    /// A message of order-svc, with the next version.
    fn said(&mut self, order: OrderId, event: impl Into<Event>) -> Message {
        self.heard += 1;
        let event = event.into();
        let name = event.event_type().full_name();
        let mut message =
            message(topic::ORDERS, &order.to_string(), &name, self.heard, event.encode());
        message.offset = self.heard;
        message
    }

    fn placed(&mut self, order: OrderId, lines: &[(&str, u32)]) -> Message {
        let placed = orders::OrderPlaced {
            order_id: order.to_string(),
            customer_id: "customer-456".to_owned(),
            revision: 1,
            lines: wire_lines(lines),
            total: Some(dollars(10)),
            terms: Some(terms()),
            pay_within_seconds: 900,
        };
        self.said(order, placed)
    }

    fn amended(&mut self, order: OrderId, revision: u32, lines: &[(&str, u32)]) -> Message {
        let amended = orders::OrderAmended {
            order_id: order.to_string(),
            customer_id: "customer-456".to_owned(),
            revision,
            lines: wire_lines(lines),
            total: Some(dollars(10)),
            terms: Some(terms()),
            pay_within_seconds: 900,
            cause: orders::AmendmentCause::Requested.into(),
        };
        self.said(order, amended)
    }

    fn confirmed(&mut self, order: OrderId) -> Message {
        self.confirmed_at(order, 1)
    }

    fn confirmed_at(&mut self, order: OrderId, revision: u32) -> Message {
        let (order_id, customer_id) = (order.to_string(), "customer-456".to_owned());
        let confirmed =
            orders::OrderConfirmed { order_id, customer_id, revision, ..Default::default() };
        self.said(order, confirmed)
    }

    fn cancelled(&mut self, order: OrderId) -> Message {
        self.cancelled_at(order, 1)
    }

    fn cancelled_at(&mut self, order: OrderId, revision: u32) -> Message {
        let (order_id, customer_id) = (order.to_string(), "customer-456".to_owned());
        let cancelled =
            orders::OrderCancelled { order_id, customer_id, revision, ..Default::default() };
        self.said(order, cancelled)
    }

    /// The events announced, in order.
    async fn outbox(&mut self) -> Vec<Event> {
        let appended = self.mailbox.outbox().await;
        let event = |row: &mailbox::testing::OutboxRow| {
            let kind = proto::EventType::numbered(row.event_type).unwrap();
            Event::decode(kind.topic, &row.payload).unwrap().unwrap()
        };
        appended.iter().map(event).collect()
    }

    /// The names of the events announced about orders.
    async fn said_of_orders(&mut self) -> Vec<&'static str> {
        let said = self.outbox().await;
        let names = said.iter().filter(|event| event.topic() == topic::STOCK);
        names.map(|event| event.event_type().name).collect()
    }

    /// On hand, reserved and sold of a SKU, over all warehouses.
    async fn pieces(&mut self, sku: &str) -> (i64, i64, i64) {
        sqlx::query_as(
            "select sum(on_hand)::bigint, sum(reserved)::bigint, sum(sold)::bigint
             from stock where sku = $1",
        )
        .bind(sku)
        .fetch_one(self.mailbox.db().await)
        .await
        .unwrap()
    }

    async fn count(&mut self, table: &'static str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.mailbox.db().await)
            .await
            .unwrap()
    }
}

fn axum_headers() -> axum::http::HeaderMap {
    axum::http::HeaderMap::new()
}

fn an_order() -> OrderId {
    OrderId::new(mailbox::testing::new_id())
}

fn wire_lines(lines: &[(&str, u32)]) -> Vec<orders::Line> {
    let line = |(line, (sku, quantity)): (u32, &(&str, u32))| orders::Line {
        line,
        sku: (*sku).to_owned(),
        name: "a thing".to_owned(),
        quantity: *quantity,
        unit_price: Some(dollars(10)),
    };
    (1..).zip(lines).map(line).collect()
}

fn dollars(units: i64) -> money::Money {
    money::Money { currency_code: "USD".to_owned(), units, nanos: 0 }
}

fn terms() -> orders::Terms {
    orders::Terms {
        customer_id: "customer-456".to_owned(),
        amount: Some(dollars(10)),
        method: orders::PaymentMethod::Card.into(),
        details: Some(orders::Sealed {
            key_id: "k1".to_owned(),
            nonce: vec![1; 12],
            ciphertext: vec![7; 40],
        }),
    }
}
