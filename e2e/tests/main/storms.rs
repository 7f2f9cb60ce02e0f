//! All kinds of orders at once, by card, while the provider loses answers and is silent: nothing is
//! oversold at any instant, and by the provider's own ledger nobody is charged or refunded twice. Once
//! more while every process is killed in turn.

mod books;
mod lives;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use e2e::{AnOrder, PlacedOrder, Product, Shop, in_a_shop_of_its_own};
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use serde_json::Value;
use tokio::time::{interval, sleep};

use self::{
    books::the_provider_agrees,
    lives::{Goods, OrderEnd, fate, lives},
};

/// The provider carries out one charge or refund in twenty without answering, and is silent for the
/// last ten seconds of each half minute. Orders come for longer than that.
const PROVIDER: [(&str, &str); 3] = [
    ("SHOP_SIMULATOR__LOST_PERCENT", "5"),
    ("SHOP_SIMULATOR__SILENCE", "10s"),
    ("SHOP_SIMULATOR__SILENCE_EVERY", "30s"),
];
/// Orders of all kinds, and the pause from one to the next: 32 seconds in all.
const ORDERS: usize = 400;
const PAUSE: Duration = Duration::from_millis(80);
/// The pause while processes are killed, which need the machine to come back.
const PAUSE_WHILE_KILLED: Duration = Duration::from_millis(200);
/// From one process that is back to the next that is killed: work piles up, and a circuit that has
/// opened closes.
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
/// How long payment-svc waits for the provider before it asks again.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);
const PROCESSES: [&str; 10] = [
    "order-svc",
    "payment-svc",
    "inventory-svc",
    "notify-svc",
    "gateway",
    "outbox-relay",
    "simulator",
    "smtp-sink",
    "kafka",
    "postgres",
];

#[test]
fn in_a_storm_nothing_is_oversold_and_nobody_is_charged_twice() {
    in_a_shop_of_its_own(&PROVIDER, async |shop| {
        let is_over = AtomicBool::new(false);

        let (ended, looks) = storm(shop, PAUSE, &is_over, |placed| placed < ORDERS).await;

        assert!(looks > 200, "the stock was looked at all the time");
        let slowest = ended.iter().map(|it| it.took).max().unwrap();
        assert!(slowest > PROVIDER_TIMEOUT, "no order met the silence: {slowest:?}");
    });
}

#[test]
fn in_a_storm_every_process_is_killed_and_nothing_is_lost_or_done_twice() {
    in_a_shop_of_its_own(&PROVIDER, async |shop| {
        shop.takes_patience();
        let (is_over, are_killed) = (AtomicBool::new(false), AtomicBool::new(false));
        let kills = async {
            for process in PROCESSES {
                sleep(BETWEEN_KILLS).await;
                shop.kill(process).await;
            }
            are_killed.store(true, Ordering::Relaxed);
        };

        let goes_on = |_placed| !are_killed.load(Ordering::Relaxed);
        let storm = storm(shop, PAUSE_WHILE_KILLED, &is_over, goes_on);
        let ((ended, _), ()) = tokio::join!(storm, kills);

        assert!(ended.len() > 60, "of every kind: {}", ended.len());
    });
}

/// Orders of all kinds as long as it `goes_on`, 50 beside them for ten pieces, and 30 from one
/// account that has enough for ten; returns their ends once the books of shop and provider agree,
/// and how often the stock was looked at.
async fn storm(
    shop: &Shop,
    pause: Duration,
    is_over: &AtomicBool,
    goes_on: impl Fn(usize) -> bool,
) -> (Vec<OrderEnd>, u32) {
    let goods = Goods { mug: shop.lists("5.00", 100_000).await, gone: shop.lists("5.00", 0).await };
    let rare = shop.lists("5.00", 10).await;
    let customer = shop.welcomes("54.99").await;
    let looks = AtomicU32::new(0);
    let wanted = || shop.a_stranger().wants(1, &rare).by_card("tok_visa");
    let by_wallet = || customer.wants(1, &goods.mug).from_the_account();
    let crowds = async {
        let fifty = crowd(shop, (0..50).map(|_| wanted()).collect());
        let thirty = crowd(shop, (0..30).map(|_| by_wallet()).collect());
        let all = tokio::join!(all_kinds(shop, &goods, pause, goes_on), fifty, thirty);
        is_over.store(true, Ordering::Relaxed);
        all
    };

    let ((ended, pieces, paid), (), ()) = tokio::join!(
        crowds,
        never_oversold(shop, &rare, 10, (is_over, &looks)),
        never_oversold(shop, &goods.mug, 100_000, (is_over, &looks)),
    );

    assert_eq!((pieces.len(), paid.len()), (10, 10), "confirmed of fifty, and of thirty");
    shop.expect_shelf(&rare, 0, 0, 10).await;
    assert_eq!(shop.purse(&customer).await.balance, "4.99");
    shop.is_well().await;
    the_provider_agrees(shop, &ended, &pieces).await;
    (ended, looks.into_inner())
}

/// Places orders of all kinds at a steady rate, and follows each to its end.
async fn all_kinds(
    shop: &Shop,
    goods: &Goods,
    pause: Duration,
    goes_on: impl Fn(usize) -> bool,
) -> Vec<OrderEnd> {
    let (mut orders, mut ended) = (FuturesUnordered::new(), Vec::new());
    let (mut ticks, mut placed, mut is_open) = (interval(pause), 0, true);
    loop {
        tokio::select! {
            _ = ticks.tick(), if is_open => {
                is_open = goes_on(placed);
                if is_open {
                    orders.push(lives(shop, goods, fate(placed)));
                    placed += 1;
                }
            }
            Some(end) = orders.next() => ended.extend(end),
            else => return ended,
        }
    }
}

/// Places all orders at once; returns those that were confirmed, once all have ended. Some may be
/// refused before they are accepted, because the catalogue knows.
async fn crowd(shop: &Shop, orders: Vec<AnOrder>) -> Vec<PlacedOrder> {
    let ends = orders.iter().map(async |order| {
        let answer = shop.ordering(order).await;
        if answer.status == 409 {
            answer.refused(409, "insufficient_inventory");
            return None;
        }
        let order = PlacedOrder::of(answer.with(201));
        let has_ended = |it: &Value| it["status"] == "confirmed" || it["status"] == "cancelled";
        let end = shop.until(&order.path(""), "an end", has_ended).await;
        Some(order).filter(|_| end["status"] == "confirmed")
    });
    join_all(ends).await.into_iter().flatten().collect()
}

/// Looks at a product's stock again and again: every look adds up, and promises no piece that is
/// not there.
async fn never_oversold(
    shop: &Shop,
    product: &Product,
    pieces: i64,
    (is_over, looks): (&AtomicBool, &AtomicU32),
) {
    while !is_over.load(Ordering::Relaxed) {
        let shelf = shop.shelf(product).await;
        assert_eq!(shelf.on_hand + shelf.sold, pieces, "{shelf:?}");
        assert!((0..=shelf.on_hand).contains(&shelf.reserved), "{shelf:?}");
        looks.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(50)).await;
    }
}
