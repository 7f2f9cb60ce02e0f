//! Rolling restarts: each service has two instances, and each of them is restarted while orders
//! come.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backends::server::send;
use e2e::{PlacedOrder, Product, SERVICES, Shop, Twin, in_a_shop_of_its_own, is_healthy};
use rustix::process::Signal;
use shop::{Ports, compose::PORT};
use tokio::task::JoinSet;

/// One order each: 100 a second.
const EVERY: Duration = Duration::from_millis(10);

/// What lets a service be restarted: it says so, and goes on for a while.
const SETTINGS: [(&str, &str); 4] = [
    ("SHOP_ORDER_SVC__LAME_DUCK", "4s"),
    ("SHOP_PAYMENT_SVC__LAME_DUCK", "4s"),
    ("SHOP_INVENTORY_SVC__LAME_DUCK", "4s"),
    ("SHOP_NOTIFY_SVC__LAME_DUCK", "4s"),
];

#[test]
fn services_are_restarted_one_by_one_without_a_failed_request_or_a_lost_order() {
    in_a_shop_of_its_own(&SETTINGS, async |shop| {
        let mug = shop.lists("5.00", 1_000_000).await;
        let mut twins = Vec::new();
        for name in SERVICES {
            twins.push(Twin::start(shop, name, &[("SHOP_LAME_DUCK", "4s")]).await);
        }
        let gateway = a_gateway_before_both(shop, &twins).await;
        let (address, is_over) = (gateway.address(), AtomicBool::new(false));

        let restarting = async {
            for (name, twin) in SERVICES.into_iter().zip(&mut twins) {
                twin.restart().await;
                restart(shop, name).await;
            }
            is_over.store(true, Ordering::SeqCst);
        };
        let (orders, ()) = tokio::join!(orders(shop, &address, &mug, &is_over), restarting);

        assert!(orders.len() > 1_000, "{} orders", orders.len());
        for order in &orders {
            shop.expect(order, "confirmed").await;
        }
        // The stack's own gateway has not been asked, but it has the same services.
        shop.is_well().await;
    });
}

/// A gateway that knows both instances of each service.
async fn a_gateway_before_both(shop: &Shop, twins: &[Twin]) -> Twin {
    let names = ["SHOP_ORDER_URL", "SHOP_PAYMENT_URL", "SHOP_INVENTORY_URL", "SHOP_NOTIFY_URL"];
    let both = SERVICES
        .into_iter()
        .zip(twins)
        .map(|(service, twin)| format!("{},{}", beside(shop, service), twin.address()));
    let both: Vec<String> = both.collect();
    let own: Vec<(&str, &str)> = names.into_iter().zip(both.iter().map(String::as_str)).collect();
    Twin::start(shop, "gateway", &own).await
}

/// Where the stack's own instance is for who runs beside it, as the stack's own gateway does.
fn beside(shop: &Shop, service: &str) -> String {
    let stack = shop.stack();
    let Some(project) = &stack.project else { return stack.service(service).unwrap() };
    let port = Ports::from(PORT).and_then(|ports| ports.of(service)).unwrap();
    format!("{}:{port}", project.address(service).unwrap())
}

/// Restarts the stack's own instance: its supervisor starts it again.
async fn restart(shop: &Shop, name: &str) {
    let process = |shop: &Shop| shop.stack().process(name).unwrap().clone();
    let before = process(shop);
    send(before.pid.unwrap(), Signal::TERM);
    backends::testing::eventually(&format!("{name} to be back"), e2e::WITHIN, async || {
        let now = process(shop);
        if now.restarts > before.restarts { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    is_healthy(name, &format!("{}/health", shop.stack().service(name).unwrap())).await;
}

/// Places orders at a steady rate until `is_over`. Each has to be accepted.
async fn orders(
    shop: &Shop,
    gateway: &str,
    mug: &Product,
    is_over: &AtomicBool,
) -> Vec<PlacedOrder> {
    let order = shop.a_stranger().wants(1, mug).by_card("tok_visa");
    let url = format!("http://{gateway}/v1/orders");
    let mut clock = tokio::time::interval(EVERY);
    // A request may take longer than the time to the next.
    let mut requests = JoinSet::new();
    while !is_over.load(Ordering::SeqCst) {
        clock.tick().await;
        let ask = shop.ask_at("POST", &url).json(&order.body);
        requests.spawn(ask.send());
    }
    let answers = requests.join_all().await;
    let placed = answers.into_iter().map(|answer| {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        PlacedOrder::of(answer.body)
    });
    placed.collect()
}
