//! Orders that the customer cancels, before and after each step.

use e2e::in_the_shop;
use serde_json::{Value, json};

use super::{events, steps};

#[test]
fn cancelled_at_once_nothing_is_kept_and_nothing_is_charged() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 50).await;
        let customer = shop.welcomes("100.00").await;
        let own = shop.token(&customer.id, &[]);
        for payment in [json!({"method": "wallet"}), json!({"method": "card", "token": "tok_visa"})]
        {
            for _ in 0..5 {
                let order =
                    shop.place(customer.wants(1, &mug).with("payment", payment.clone())).await;

                let cancelled = shop.delete(&order.path("")).with_token(&own).await.with(200);

                assert_eq!(cancelled["status"], "cancelled");
                assert_eq!(cancelled["cancellation"]["reason"], "customer_request");
                assert_eq!(cancelled["cancellation"]["by"], customer.id);
                assert_eq!(shop.delete(&order.path("")).await.with(200)["status"], "cancelled");
                let ended =
                    |saga: &Value| saga["status"] == "compensated" || saga["status"] == "failed";
                shop.until(&order.path("/saga"), "both sides answered", ended).await;
            }
        }
        shop.expect_shelf(&mug, 50, 0, 0).await;
        assert_eq!(shop.purse(&customer).await.available, "100.00");
    });
}

#[test]
fn cancelled_while_it_waits_for_its_money_the_goods_are_free_again() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order = shop.place(shop.welcomes("1.00").await.wants(2, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        shop.expect_shelf(&mug, 5, 2, 0).await;

        let body = json!({"reason": "changed my mind"});
        let cancelled = shop.post(&order.path("/cancel"), &body).await.with(200);

        assert_eq!(cancelled["cancellation"]["detail"], "changed my mind");
        let again = shop.post(&order.path("/cancel"), &json!({"reason": "really"})).await.with(200);
        assert_eq!(again["cancellation"], cancelled["cancellation"]);
        let saga = shop.saga(&order, "compensated").await;
        assert_eq!(saga["compensated_steps"], json!(["inventory_reserved"]));
        shop.the("reservations", &order, "released").await;
        shop.the("payments", &order, "voided").await;
        shop.expect_shelf(&mug, 5, 0, 0).await;
        shop.notification(&order, "order_cancelled", "sent").await;
        let said = events(shop, &order).await;
        assert_eq!(said.iter().filter(|name| *name == "OrderCancelled").count(), 1, "{said:?}");
    });
}

#[test]
fn cancelled_during_a_charge_the_money_goes_back_when_it_has_come() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order =
            shop.place(shop.welcomes("1.00").await.wants(1, &mug).by_card("tok_slow")).await;
        shop.the("payments", &order, "processing").await;

        shop.delete(&order.path("")).await.with(200);

        assert_eq!(shop.get(&order.path("/saga")).await.with(200)["status"], "compensating");
        let saga = shop.saga(&order, "compensated").await;
        assert_eq!(saga["compensated_steps"], json!(["inventory_reserved", "payment_processed"]));
        let payment = shop.the("payments", &order, "refunded").await;
        assert_eq!(payment["refunded"], payment["amount"]);
        shop.expect_shelf(&mug, 5, 0, 0).await;
    });
}

#[test]
fn cancelled_after_the_confirmation_money_and_goods_go_back() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let customer = shop.welcomes("100.00").await;
        for order in [
            customer.wants(2, &mug).from_the_account(),
            customer.wants(2, &mug).by_card("tok_visa"),
        ] {
            let order = shop.place(order).await;
            shop.expect(&order, "confirmed").await;
            shop.expect_shelf(&mug, 3, 0, 2).await;

            let cancelled = shop.delete(&order.path("")).await.with(200);

            assert_eq!(cancelled["version"], 3);
            let saga = shop.saga(&order, "compensated").await;
            assert_eq!(
                steps(&saga)[..2],
                ["inventory_reserved compensated", "payment_processed compensated"]
            );
            let payment = shop.the("payments", &order, "refunded").await;
            assert_eq!(payment["refunded"], json!({"amount": "10.00", "currency": "USD"}));
            shop.expect_shelf(&mug, 5, 0, 0).await;
            shop.notification(&order, "payment_refunded", "sent").await;
        }
        assert_eq!(shop.purse(&customer).await.available, "100.00");
        let entries = shop.get(&format!("/v1/accounts/{}/entries", customer.id)).await.with(200);
        let entries = entries["items"].as_array().unwrap().iter();
        let moved: Vec<_> = entries
            .map(|entry| {
                format!("{} {} {}", entry["kind"], entry["debit"], entry["credit"]).replace('"', "")
            })
            .collect();
        assert_eq!(
            moved,
            ["deposit outside available", "capture available shop", "refund shop available"]
        );
    });
}
