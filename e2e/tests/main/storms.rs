//! All kinds of orders at once, by card, while the provider loses answers and is silent: nothing is
//! oversold at any instant, and by the provider's own ledger nobody is charged or refunded twice.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use backends::testing::eventually;
use e2e::{AnOrder, PlacedOrder, Product, Shop, WITHIN, in_a_shop_of_its_own};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

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
/// How long payment-svc waits for the provider before it asks again.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of an order, as far as its customer and staff decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Happy,
    Declined,
    OutOfStock,
    Cancelled,
    Amended,
    AmendedWhileCharged,
    RefundedInParts,
    Shipped,
}

/// Nearly nine in ten are happy.
fn fate(number: usize) -> Fate {
    match number % 60 {
        0 => Fate::Declined,
        10 => Fate::OutOfStock,
        20 => Fate::Cancelled,
        25 => Fate::AmendedWhileCharged,
        30 => Fate::Amended,
        40 => Fate::RefundedInParts,
        50 => Fate::Shipped,
        _ => Fate::Happy,
    }
}

/// An order that has come to its end, and what the provider has to have of it.
#[derive(Debug)]
struct OrderEnd {
    order: PlacedOrder,
    status: &'static str,
    captured: String,
    refunded: String,
    took: Duration,
}

/// The goods of the storm.
struct Goods {
    mug: Product,
    /// There is none of it.
    gone: Product,
}

#[test]
fn in_a_storm_nothing_is_oversold_and_nobody_is_charged_twice() {
    in_a_shop_of_its_own(&PROVIDER, async |shop| {
        let goods =
            Goods { mug: shop.lists("5.00", 100_000).await, gone: shop.lists("5.00", 0).await };
        let rare = shop.lists("5.00", 10).await;
        let customer = shop.welcomes("54.99").await;
        let (is_over, looks) = (AtomicBool::new(false), AtomicU32::new(0));
        let wanted = || shop.a_stranger().wants(1, &rare).by_card("tok_visa");
        let by_wallet = || customer.wants(1, &goods.mug).from_the_account();
        let crowds = async {
            let fifty = crowd(shop, (0..50).map(|_| wanted()).collect());
            let thirty = crowd(shop, (0..30).map(|_| by_wallet()).collect());
            let (ended, pieces, paid) = tokio::join!(all_kinds(shop, &goods), fifty, thirty);
            is_over.store(true, Ordering::Relaxed);
            (ended, pieces, paid)
        };

        let ((ended, pieces, paid), (), ()) = tokio::join!(
            crowds,
            never_oversold(shop, &rare, 10, (&is_over, &looks)),
            never_oversold(shop, &goods.mug, 100_000, (&is_over, &looks)),
        );

        assert_eq!((pieces.len(), paid.len()), (10, 10), "confirmed of fifty, and of thirty");
        shop.expect_shelf(&rare, 0, 0, 10).await;
        assert_eq!(shop.purse(&customer).await.balance, "4.99");
        assert!(looks.into_inner() > 200, "the stock was looked at all the time");
        shop.is_well().await;
        the_provider_agrees(shop, &ended, &pieces).await;
        let slowest = ended.iter().map(|it| it.took).max().unwrap();
        assert!(slowest > PROVIDER_TIMEOUT, "no order met the silence: {slowest:?}");
    });
}

/// Places orders of all kinds at a steady rate, and follows each to its end.
async fn all_kinds(shop: &Shop, goods: &Goods) -> Vec<OrderEnd> {
    let began = tokio::time::Instant::now();
    let orders = (0..ORDERS).zip(0..).map(async |(number, pauses)| {
        sleep_until(began + PAUSE * pauses).await;
        lives(shop, goods, fate(number)).await
    });
    join_all(orders).await.into_iter().flatten().collect()
}

/// One order from its placing to its end; none if it was refused because the shelf is empty.
async fn lives(shop: &Shop, goods: &Goods, fate: Fate) -> Option<OrderEnd> {
    let began = Instant::now();
    let ended = |order, status, captured: &str, refunded: &str| {
        let (captured, refunded) = (captured.to_owned(), refunded.to_owned());
        Some(OrderEnd { order, status, captured, refunded, took: began.elapsed() })
    };
    let wanted = |product| shop.a_stranger().wants(1, product);
    match fate {
        Fate::Happy => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_visa")).await;
            shop.expect(&order, "confirmed").await;
            ended(order, "confirmed", "5.00", "0.00")
        }
        Fate::Declined => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_declined")).await;
            shop.expect(&order, "cancelled").await;
            ended(order, "cancelled", "0.00", "0.00")
        }
        Fate::OutOfStock => {
            let told = shop.ordering(&wanted(&goods.gone).by_card("tok_visa")).await;
            told.refused(409, "insufficient_inventory");
            None
        }
        Fate::Cancelled => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_visa")).await;
            // At any moment of its life: before, during and after the charge.
            sleep(Duration::from_millis(random_below(1_500))).await;
            shop.delete(&order.path("")).await.with(200);
            let is_over =
                |saga: &Value| saga["status"] == "compensated" || saga["status"] == "failed";
            shop.until(&order.path("/saga"), "both have answered", is_over).await;
            let captured = captured(shop, &order).await;
            ended(order, "cancelled", &captured, &captured)
        }
        Fate::Amended => {
            let (order, total) = amended(shop, &goods.mug).await;
            ended(order, "confirmed", &total, "0.00")
        }
        Fate::AmendedWhileCharged => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_visa")).await;
            // Before, during or after the charge: it is undone if that was quicker, or refused.
            sleep(Duration::from_millis(random_below(300))).await;
            let body = json!({"items": [{"sku": goods.mug.sku, "quantity": 2}]});
            let told = shop.put(&order.path(""), &body).await;
            assert!(told.status == 200 || told.status == 409, "{told}");
            let order = PlacedOrder::of(shop.expect(&order, "confirmed").await);
            let total = order.body["total_amount"]["amount"].as_str().unwrap().to_owned();
            ended(order, "confirmed", &total, "0.00")
        }
        Fate::RefundedInParts => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_visa")).await;
            shop.expect(&order, "confirmed").await;
            refunded(shop, &order, &["1.00", "2.50", "0.50"]).await;
            ended(order, "confirmed", "5.00", "4.00")
        }
        Fate::Shipped => {
            let order = shop.place(wanted(&goods.mug).by_card("tok_visa")).await;
            shop.expect(&order, "confirmed").await;
            let parcel = json!({"carrier": "post", "tracking_number": "RR1"});
            shop.post(&order.path("/ship"), &parcel).await.with(200);
            shop.post(&order.path("/deliver"), &json!({})).await.with(200);
            ended(order, "delivered", "5.00", "0.00")
        }
    }
}

fn random_below(max: u64) -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 % max
}

/// An order that is amended one to three times, each time for one piece more, and then paid by
/// card; returns what it comes to.
async fn amended(shop: &Shop, mug: &Product) -> (PlacedOrder, String) {
    let order = shop.place(shop.a_stranger().wants(1, mug)).await;
    let times = 1 + random_below(3);
    for quantity in 2..=times + 1 {
        let body = json!({"items": [{"sku": mug.sku, "quantity": quantity}]});
        shop.put(&order.path(""), &body).await.with(200);
    }
    shop.expect(&order, "payment_pending").await;
    // Whoever pays before payment-svc has heard of the amendment pays the price before it.
    let wanted = format!("{}.00", 5 * (times + 1));
    let is_due = |found: &Value| found["items"][0]["amount"]["amount"] == *wanted;
    shop.until(&format!("/v1/payments?order_id={}", order.id), "the price", is_due).await;
    let card = json!({"type": "card", "token": "tok_visa"});
    let key = shop.a_name("pay");
    eventually("the payment's end", WITHIN, async || {
        let told = shop.paying(&order, &card).header("idempotency-key", &key).await;
        if told.status == 201 { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let order = PlacedOrder::of(shop.expect(&order, "confirmed").await);
    assert_eq!(order.body["revision"], times + 1, "{}", order.body);
    let total = order.body["total_amount"]["amount"].as_str().unwrap().to_owned();
    assert_eq!(total, wanted);
    (order, total)
}

/// Gives money back in parts, each with a key of its own, under which it is asked for again until
/// it is known to be done.
async fn refunded(shop: &Shop, order: &PlacedOrder, parts: &[&str]) {
    let payment = shop.the("payments", order, "captured").await;
    let path = format!("/v1/payments/{}/refund", payment["id"].as_str().unwrap());
    for amount in parts {
        let key = shop.a_name("part");
        eventually("a part's refund", WITHIN, async || {
            let asked = shop.post(&path, &json!({"amount": amount}));
            let told = asked.header("idempotency-key", &key).await;
            if told.status == 200 { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
    }
}

/// What was captured of an order; nothing for one without a payment.
async fn captured(shop: &Shop, order: &PlacedOrder) -> String {
    let found = shop.get(&format!("/v1/payments?order_id={}", order.id)).await.with(200);
    let payment = &found["items"][0];
    let was_captured = payment["status"] == "refunded";
    let amount = payment["amount"]["amount"].as_str().filter(|_| was_captured);
    amount.unwrap_or("0.00").to_owned()
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

/// Compares each order, its payment and what the provider itself has of it; the provider has
/// charged nobody else.
async fn the_provider_agrees(shop: &Shop, ended: &[OrderEnd], pieces: &[PlacedOrder]) {
    let books = ledger(shop).await;
    let nothing = json!({"captures": 0, "captured": "0.00", "refunded": "0.00"});
    let (mut wrong, mut charged) = (Vec::new(), 0);
    let of_crowd = pieces.iter().map(|order| (order, "confirmed", "5.00", "0.00"));
    let of_storm =
        ended.iter().map(|it| (&it.order, it.status, it.captured.as_str(), it.refunded.as_str()));
    for (order, status, captured, refunded) in of_storm.chain(of_crowd) {
        let shown = shop.get(&order.path("")).await.with(200);
        let entry = books.get(&order.id).unwrap_or(&nothing);
        let captures = u32::from(captured != "0.00");
        charged += captures;
        let wanted = (status, captures.into(), captured, refunded);
        let found = (
            shown["status"].as_str().unwrap(),
            entry["captures"].as_u64().unwrap(),
            entry["captured"].as_str().unwrap(),
            entry["refunded"].as_str().unwrap(),
        );
        if found != wanted {
            wrong.push(format!("{}: {found:?}, not {wanted:?}", order.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // One more is the first order of every shop.
    let captures: u64 = books.values().map(|entry| entry["captures"].as_u64().unwrap()).sum();
    assert_eq!(captures, u64::from(charged) + 1);
}

/// The provider's ledger by order, page by page.
async fn ledger(shop: &Shop) -> BTreeMap<String, Value> {
    let url = format!("{}/ledger?limit=200", shop.stack().service("simulator").unwrap());
    let (mut books, mut next) = (BTreeMap::new(), String::new());
    loop {
        let page = shop.ask_at("GET", &format!("{url}{next}")).await.with(200);
        for entry in page["items"].as_array().unwrap() {
            let order = entry["order_id"].as_str().unwrap().to_owned();
            assert_eq!(books.insert(order, entry.clone()), None, "one currency an order");
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return books };
        next = format!("&cursor={cursor}");
    }
}
