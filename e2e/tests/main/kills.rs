//! SIGKILL for every process under load: no acknowledged order is lost, and every promise is kept.

use std::time::Duration;

use backends::testing::eventually;
use e2e::{PlacedOrder, Product, Shop, WITHIN, alone_in_the_shop};
use serde_json::Value;
use shop::{load, seed};

#[test]
fn a_killed_gateway_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "gateway").await);
}

#[test]
fn a_killed_order_svc_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "order-svc").await);
}

#[test]
fn a_killed_payment_svc_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "payment-svc").await);
}

#[test]
fn a_killed_inventory_svc_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "inventory-svc").await);
}

#[test]
fn a_killed_notify_svc_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "notify-svc").await);
}

#[test]
fn a_killed_relay_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "outbox-relay").await);
}

#[test]
fn a_killed_simulator_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "simulator").await);
}

#[test]
fn a_killed_mail_server_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "smtp-sink").await);
}

#[test]
fn a_killed_kafka_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "kafka").await);
}

#[test]
fn a_killed_postgres_loses_no_order() {
    alone_in_the_shop(async |shop| killed(shop, "postgres").await);
}

/// How many card orders are accepted before the process is killed, so that the kill meets work
/// under way.
const BEFORE: usize = 10;
/// How many card orders are accepted after the process is back.
const AFTER: usize = 10;

/// Places wallet orders at a steady rate and card orders one after another, kills the process
/// meanwhile, and follows every accepted order to its end.
async fn killed(shop: &Shop, process: &str) {
    let all = seed::Args { products: 20, customers: 20, stock: 100_000 };
    seed::run(all, shop.home()).await.unwrap();
    let mug = shop.lists("5.00", 100_000).await;
    let loading = load::load(some_load(), shop.home());

    let by_card = async {
        let mut orders = Vec::new();
        while orders.len() < BEFORE {
            orders.extend(try_to_order(shop, &mug).await);
        }
        let mut killing = std::pin::pin!(shop.kill(process));
        loop {
            tokio::select! {
                () = &mut killing => break,
                order = try_to_order(shop, &mug) => orders.extend(order),
            }
        }
        let wanted = orders.len() + AFTER;
        while orders.len() < wanted {
            orders.extend(try_to_order(shop, &mug).await);
        }
        orders
    };
    let (report, orders) = tokio::join!(loading, by_card);

    let report = report.unwrap();
    assert_eq!(report.unfinished, 0, "{process}: {report:?}");
    assert!(report.confirmed > 0 && report.cancelled > 0, "{process}: {report:?}");
    for order in orders {
        ended(shop, &order).await;
    }
}

fn some_load() -> load::Args {
    load::Args {
        rate: Some(50),
        duration: Some(Duration::from_secs(6)),
        grace: Duration::from_secs(90),
        mix: "happy=56,declined=8,out_of_stock=4,cancelled=8,amended=8,refunded=8,shipped=8"
            .parse()
            .unwrap(),
        ..load::Args::default()
    }
}

/// An order, if it was accepted: while a process is away, a refusal or no answer is no fault.
async fn try_to_order(shop: &Shop, mug: &Product) -> Option<PlacedOrder> {
    let wanted = shop.a_stranger().wants(1, mug).by_card("tok_visa");
    let answer = shop.ordering(&wanted).send().await;
    // One order at a time and with a pause: the killed process needs the machine to come back.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = answer.ok()?;
    assert!(answer.status == 201 || answer.status >= 500 || answer.status == 429, "{answer}");
    (answer.status == 201).then(|| PlacedOrder::of(answer.body))
}

/// Waits until the order is confirmed, however long it takes: it has stock and a good card, so only
/// a deadline could end it otherwise.
async fn ended(shop: &Shop, order: &PlacedOrder) -> Value {
    eventually(&format!("{} is confirmed", order.id), WITHIN, async || {
        let told = shop.get(&order.path("")).send().await?;
        if told.body["status"] == "confirmed" { Ok(told.body) } else { Err(told.to_string()) }
    })
    .await
}
