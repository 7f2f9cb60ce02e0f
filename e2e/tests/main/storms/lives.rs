//! The orders of a storm: what becomes of each, as far as its customer and staff decide.

use std::time::{Duration, Instant};

use backends::testing::eventually;
use e2e::{PlacedOrder, Product, Shop, WITHIN};
use serde_json::{Value, json};
use tokio::time::sleep;

/// What becomes of an order, as far as its customer and staff decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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
pub(super) fn fate(number: usize) -> Fate {
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
pub(super) struct OrderEnd {
    pub(super) order: PlacedOrder,
    pub(super) status: &'static str,
    pub(super) captured: String,
    pub(super) refunded: String,
    pub(super) took: Duration,
}

/// The goods of the storm.
pub(super) struct Goods {
    pub(super) mug: Product,
    /// There is none of it.
    pub(super) gone: Product,
}

/// One order from its placing to its end; none if it was refused because the shelf is empty.
pub(super) async fn lives(shop: &Shop, goods: &Goods, fate: Fate) -> Option<OrderEnd> {
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
    // A request that was repeated because its answer was lost may have amended twice.
    let revision = order.body["revision"].as_u64().unwrap();
    assert!(revision == times + 1 || shop.is_patient() && revision > times, "{}", order.body);
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
