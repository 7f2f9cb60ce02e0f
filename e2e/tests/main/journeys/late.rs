//! Orders that nobody pays in time, in shops with short deadlines.

use e2e::{Shop, in_a_shop_of_its_own};
use serde_json::json;

use super::events;

async fn nobody_pays(shop: &Shop, reason: &str) {
    let mug = shop.lists("5.00", 5).await;
    let customer = shop.welcomes("100.00").await;
    let paid = shop.place(customer.wants(1, &mug).from_the_account()).await;
    let order = shop.place(customer.wants(2, &mug)).await;
    shop.expect(&order, "payment_pending").await;
    let saga = shop.get(&order.path("/saga")).await.with(200);
    assert_eq!(saga["expected"]["step"], "payment_processed", "{saga}");

    let cancelled = shop.expect(&order, "cancelled").await;

    assert_eq!(cancelled["cancellation"]["reason"], reason);
    shop.saga(&order, "compensated").await;
    shop.the("payments", &order, "voided").await;
    shop.expect_shelf(&mug, 4, 0, 1).await;
    let late = shop.paying(&order, &json!({"type": "wallet"})).await;
    late.refused(409, "not_payable");
    shop.expect(&paid, "confirmed").await;
    let said = events(shop, &order).await;
    let expired = said.contains(&"ReservationExpired".to_owned());
    assert_eq!(expired, reason == "reservation_expired", "{said:?}");
}

#[test]
fn an_order_that_is_not_paid_in_time_is_cancelled() {
    in_a_shop_of_its_own(&[("SHOP_PAYMENT_DEADLINE", "2s")], async |shop| {
        nobody_pays(shop, "payment_timeout").await;
    });
}

#[test]
fn a_reservation_that_runs_out_cancels_its_order() {
    in_a_shop_of_its_own(&[("SHOP_RESERVATION_HOLD", "2s")], async |shop| {
        nobody_pays(shop, "reservation_expired").await;
    });
}
