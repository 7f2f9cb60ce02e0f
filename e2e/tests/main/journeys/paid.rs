//! Orders that are paid as soon as their stock is reserved.

use e2e::{PlacedOrder, Purse, in_the_shop};
use serde_json::json;

use super::{events, steps};

#[test]
fn an_order_paid_from_the_account_goes_all_the_way() {
    in_the_shop(async |shop| {
        let mug = shop.lists("29.99", 10).await;
        let customer = shop.welcomes("100.00").await;

        let order = shop.place(customer.wants(2, &mug).from_the_account()).await;
        let confirmed = shop.expect(&order, "confirmed").await;

        assert_eq!(confirmed["total_amount"], json!({"amount": "59.98", "currency": "USD"}));
        assert_eq!((&confirmed["version"], &confirmed["revision"]), (&json!(2), &json!(1)));
        let payment = shop.the("payments", &order, "captured").await;
        assert_eq!(payment["method"], "wallet");
        assert_eq!(payment["amount"], confirmed["total_amount"]);
        assert_eq!(payment["id"], confirmed["payment"]["payment_id"]);
        let purse =
            Purse { balance: "40.02".into(), held: "0.00".into(), available: "40.02".into() };
        assert_eq!(shop.purse(&customer).await, purse);
        shop.expect_shelf(&mug, 8, 0, 2).await;
        let reservation = shop.the("reservations", &order, "sold").await;
        assert_eq!(
            reservation["items"],
            json!([{"sku": mug.sku, "quantity": 2, "warehouse": "main"}])
        );

        let told = shop.notification(&order, "order_confirmation", "sent").await;
        assert_eq!((&told["channel"], &told["failure"]), (&json!("email"), &json!(null)));
        let to = format!("{}@example.com", customer.id);
        let mail = shop.message_to(&to, &order.id).await;
        assert_eq!(mail["subject"], json!(format!("Your order {} is confirmed", order.id)));
        assert!(mail["html"].as_str().unwrap().contains("59.98 USD"));
        let is_told = |step: &String| step == "notification_sent completed";
        let path = order.path("/saga");
        let saga = shop.until(&path, "told", |saga| steps(saga).iter().any(is_told)).await;
        assert_eq!((&saga["status"], &saga["expected"]), (&json!("completed"), &json!(null)));
        let done = [
            "inventory_reserved completed",
            "payment_processed completed",
            "order_confirmed completed",
            "notification_sent completed",
        ];
        assert_eq!(steps(&saga), done);
        let said = [
            "OrderPlaced",
            "StockReserved",
            "PaymentCaptured",
            "OrderConfirmed",
            "NotificationSent",
        ];
        assert_eq!(events(shop, &order).await, said);
    });
}

#[test]
fn an_order_paid_by_card_is_captured_at_the_provider() {
    in_the_shop(async |shop| {
        let (mug, lamp) = (shop.lists("3.50", 10).await, shop.lists("20.00", 10).await);
        let customer = shop.welcomes("1.00").await;

        let order = shop.place(customer.wants(2, &mug).and(1, &lamp).by_card("tok_visa")).await;
        let confirmed = shop.expect(&order, "confirmed").await;

        assert_eq!(confirmed["total_amount"]["amount"], "27.00");
        let payment = shop.the("payments", &order, "captured").await;
        assert_eq!(
            (&payment["method"], &payment["provider"]),
            (&json!("card"), &json!("simulator"))
        );
        assert_eq!(payment["card"]["brand"], "visa");
        assert_eq!(shop.purse(&customer).await.available, "1.00");
        shop.expect_shelf(&lamp, 9, 0, 1).await;
    });
}

/// In Stripe's protocol, which the simulator speaks, with its events coming in at the gateway.
#[test]
fn an_order_paid_through_stripe_is_captured_there_and_given_back() {
    in_the_shop(async |shop| {
        let lamp = shop.lists("20.00", 10).await;
        let customer = shop.welcomes("1.00").await;

        let order = shop.place(customer.wants(1, &lamp).by_card("pm_card_visa")).await;
        shop.expect(&order, "confirmed").await;
        let payment = shop.the("payments", &order, "captured").await;
        assert_eq!(payment["provider"], "stripe");
        assert_eq!(payment["amount"]["amount"], "20.00");
        let refused = shop.place(customer.wants(1, &lamp).by_card("pm_card_chargeDeclined")).await;
        shop.expect(&refused, "cancelled").await;
        shop.ask("DELETE", &order.path("")).await.with(200);

        let payment = shop.the("payments", &order, "refunded").await;
        assert_eq!(payment["provider"], "stripe");
        let url = format!("/v1/payments?order_id={}", refused.id);
        let declined = shop.get(&url).await.with(200)["items"][0].clone();
        assert_eq!(
            (&declined["provider"], &declined["decline"]["code"]),
            (&json!("stripe"), &json!("card_declined"))
        );
        shop.expect_shelf(&lamp, 10, 0, 0).await;
    });
}

#[test]
fn a_lost_answer_of_the_provider_is_asked_for_again() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;

        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_lost")).await;

        shop.expect(&order, "confirmed").await;
        shop.the("payments", &order, "captured").await;
        let entry = shop.provider_entry(&order).await;
        assert_eq!((&entry["captures"], &entry["captured"]), (&json!(1), &json!("5.00")));
    });
}

#[test]
fn a_slow_provider_holds_up_its_own_order_only() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let slow = shop.a_stranger().wants(1, &mug).by_card("tok_slow");

        let answer = shop.ordering(&slow).header("prefer", "wait=1").await;
        assert_eq!(answer.header("preference-applied"), "wait=1");
        let order = PlacedOrder::of(answer.with(201));
        let quick = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;

        shop.expect(&quick, "confirmed").await;
        assert_eq!(order.body["status"], "payment_pending");
        shop.expect(&order, "confirmed").await;
    });
}

#[test]
fn who_waits_for_the_outcome_is_told_it() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let customer = shop.welcomes("20.00").await;

        let paid = customer.wants(1, &mug).from_the_account();
        let paid = shop.ordering(&paid).header("prefer", "wait=30").await;
        assert_eq!(paid.with(201)["status"], "confirmed");

        let later = shop.ordering(&customer.wants(1, &mug)).header("prefer", "wait=30").await;
        assert_eq!(later.with(201)["status"], "payment_pending");
    });
}

#[test]
fn a_customer_without_an_address_gets_the_goods_all_the_same() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;

        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;

        let notification = shop.notification(&order, "order_confirmation", "failed").await;
        assert_eq!(notification["failure"], "no_address");
        let saga = shop.saga(&order, "completed").await;
        assert_eq!(steps(&saga)[2], "order_confirmed completed");
        let path = order.path("/saga");
        shop.until(&path, "untold", |saga| steps(saga)[3] == "notification_sent failed").await;
        shop.expect(&order, "confirmed").await;
    });
}
