//! Faults are planted into a shop at rest, each as the faulty service would leave it, and each has
//! to break the check of `shop audit` that is there for it.

mod rows;

use std::time::Duration;

use backends::testing::eventually;
use e2e::{PlacedOrder, Shop, WITHIN, in_a_shop_to_break};
use proto::topic;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;
use shop::audit::{self, AuditReport};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use self::rows::PLANTS;

/// The orders that faults are planted into.
struct Scene<'a> {
    shop: &'a Shop,
    /// The names in the plants' rows with their values, the longest name first.
    names: Vec<(String, String)>,
}

#[test]
fn every_fault_that_is_planted_turns_its_check_red() {
    in_a_shop_to_break(async |shop| {
        let scene = Scene::at_rest(shop).await;
        scene.keep().await;

        let mut missed = Vec::new();
        for plant in PLANTS {
            scene.stop(plant.stopped, "STOP");
            scene.run(plant.database, plant.rows).await;
            let broken = red(&scene.audit(0).await);
            if !broken.iter().any(|check| check.starts_with(&format!("{}:", plant.check))) {
                missed.push(format!(
                    "{}: {} is green, red are {broken:#?}",
                    plant.fault, plant.check
                ));
            }
            for table in plant.tables {
                scene.restore(plant.database, table).await;
            }
            scene.stop(plant.stopped, "CONT");
        }
        assert!(missed.is_empty(), "{}", missed.join("\n"));

        scene.what_cannot_be_taken_back().await;
    });
}

impl<'a> Scene<'a> {
    /// A shop with an order of every kind, all of which have come to their end.
    async fn at_rest(shop: &'a Shop) -> Self {
        let (mug, cup) = (shop.lists("5.00", 50).await, shop.lists("5.00", 50).await);
        let ann = shop.welcomes("100.00").await;
        let order = ann.wants(2, &mug).by_card("tok_visa");
        let card = shop.ordering(&order).header("idempotency-key", "card").await;
        let card = PlacedOrder::of(card.with(201));
        let wallet = shop.place(ann.wants(2, &mug).from_the_account()).await;
        let back = shop.place(ann.wants(2, &mug).from_the_account()).await;
        let [later, open] =
            [shop.place(ann.wants(2, &mug)).await, shop.place(ann.wants(2, &mug)).await];
        shop.expect(&later, "payment_pending").await;
        shop.paying(&later, &json!({"type": "card", "token": "tok_visa"})).await.with(201);
        for order in [&card, &wallet, &back, &later] {
            shop.expect(order, "confirmed").await;
        }
        shop.delete(&back.path("")).await.with(200);
        shop.saga(&back, "compensated").await;
        shop.notification(&back, "payment_refunded", "sent").await;
        shop.expect(&open, "payment_pending").await;
        shop.notification(&open, "payment_due", "sent").await;
        for order in [&card, &wallet, &later] {
            shop.notification(order, "order_confirmation", "sent").await;
        }

        let orders = [
            ("card", &card),
            ("wallet", &wallet),
            ("back", &back),
            ("later", &later),
            ("open", &open),
        ];
        let mut names = vec![
            ("$mug".to_owned(), mug.sku),
            ("$cup".to_owned(), cup.sku),
            ("$ann".to_owned(), ann.id),
        ];
        for (name, order) in orders {
            let events = shop.get(&order.path("/events")).await.with(200);
            for event in events["items"].as_array().unwrap() {
                let id = event["id"].as_str().unwrap().to_owned();
                for (word, kind) in [
                    ("placed", "OrderPlaced"),
                    ("confirmed", "OrderConfirmed"),
                    ("reserved", "StockReserved"),
                ] {
                    if event["type"].as_str().unwrap().ends_with(kind) {
                        names.push((format!("${name}.{word}"), id.clone()));
                    }
                }
            }
            names.push((format!("${name}"), order.id.clone()));
        }
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let scene = Self { shop, names };
        // What only notes something down comes a tenth of a second later (`Reactor::may_linger`).
        eventually("nothing to be under way but the order that nobody pays", WITHIN, async || {
            let report = scene.audit(0).await;
            let broken = red(&report);
            let rests = broken.is_empty() && report.in_flight <= 1;
            if rests { Ok(()) } else { Err(format!("{} under way, {broken:?}", report.in_flight)) }
        })
        .await;
        scene
    }

    async fn audit(&self, looks: u32) -> AuditReport {
        audit::audit_with(self.shop.home(), looks).await.unwrap()
    }

    /// Copies every table that a plant changes.
    async fn keep(&self) {
        for plant in PLANTS {
            for table in plant.tables {
                let copy = format!(
                    "create schema if not exists kept; \
                     create table if not exists kept.{table} as table public.{table}"
                );
                self.run(plant.database, &copy).await;
            }
        }
    }

    /// Restores a table from its copy.
    async fn restore(&self, database: &str, table: &str) {
        let back = format!(
            "begin; set local session_replication_role = replica; delete from public.{table}; \
             insert into public.{table} select * from kept.{table}; commit"
        );
        self.run(database, &back).await;
    }

    /// Changes rows as no service would, with the names replaced by their values.
    async fn run(&self, database: &str, rows: &str) {
        let named = |rows: String, (name, value): &(String, String)| rows.replace(name, value);
        let rows = self.names.iter().fold(rows.to_owned(), named);
        let url = self.shop.stack().database_as_superuser(database);
        let mut db = PgConnection::connect(&url).await.unwrap();
        let text = format!("set session_replication_role = replica; {rows}");
        let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut db).await;
        assert!(done.is_ok(), "{done:?}: {rows}");
    }

    /// Sends a signal to a process; none if `process` is empty.
    fn stop(&self, process: &str, signal: &str) {
        if process.is_empty() {
            return;
        }
        let pid = self.shop.stack().process(process).unwrap().pid.unwrap();
        let kill = std::process::Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid.to_string())
            .status();
        assert!(kill.unwrap().success());
    }

    /// Messages, charges and mails cannot be taken back, so each of these faults is planted on top
    /// of the others.
    async fn what_cannot_be_taken_back(&self) {
        let turns_red = async |fault: &str, check: &str| {
            let broken = red(&self.audit(0).await);
            assert!(broken.iter().any(|it| it.starts_with(check)), "{fault}: {broken:#?}");
        };
        let card = &self.names.iter().find(|(name, _)| name == "$card").unwrap().1;
        let file = self.shop.file("smtp-sink", "messages.jsonl");
        let messages = std::fs::read(&file).unwrap();
        std::fs::write(&file, b"").unwrap();
        turns_red("mails are recorded as sent and never taken", "customers_told").await;
        std::fs::write(&file, messages).unwrap();
        let left = red(&self.audit(0).await);
        assert!(left.is_empty(), "after all was taken back: {left:#?}");

        let provider = self.shop.stack().service("simulator").unwrap();
        let charge = json!({"order_id": card, "amount": "10.00", "currency": "USD",
            "token": "tok_visa", "idempotency_key": "once-more"});
        let charged = self.shop.ask_at("POST", &format!("{provider}/charges")).json(&charge).await;
        assert!(charged.status < 300, "{charged}");
        turns_red("a card is charged twice", "provider_agrees").await;

        // A gap in the versions, and an event of another source: only the relay publishes in this
        // shop.
        self.say(card, 9, "/shop/payment-svc", None).await;
        turns_red("an event is not said", "versions_gap_free").await;
        turns_red("an event names another source", "contents_agree").await;
        self.say(card, 1, "/shop/order-svc", None).await;
        turns_red("the same version says something else", "duplicates_identical").await;
        self.say(card, 1, "/shop/order-svc", Some(0)).await;
        self.say(card, 1, "/shop/order-svc", Some(1)).await;
        turns_red("a key is on two partitions", "one_partition_a_key").await;
    }

    /// Publishes an `OrderDelivered` without content, which no service hears, on the topic of
    /// orders.
    async fn say(&self, key: &str, version: i64, source: &str, partition: Option<i32>) {
        let mut config = ClientConfig::new();
        let kafka = self.shop.stack().kafka();
        config.set("bootstrap.servers", kafka).set("partitioner", "murmur2_random");
        let producer: FutureProducer = config.create().unwrap();
        let version = version.to_string();
        let headers = [
            ("ce_id", "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f"),
            ("ce_type", "shop.orders.v1.OrderDelivered"),
            ("ce_source", source),
            ("ce_subject", key),
            ("ce_version", &version),
            ("ce_incarnation", "1"),
            ("ce_time", "2026-11-20T10:00:00.000000Z"),
        ];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut record = FutureRecord::to(topic::ORDERS)
            .key(key)
            .payload(b"\x3a\x00".as_slice())
            .headers(headers);
        record.partition = partition;
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

/// The broken checks, each as its name and its first violation.
fn red(report: &AuditReport) -> Vec<String> {
    let broken = report.checks.iter().filter(|check| !check.ok);
    let first = |first: &Option<String>| first.clone().unwrap_or_default();
    broken.map(|check| format!("{}: {}", check.name, first(&check.first))).collect()
}
