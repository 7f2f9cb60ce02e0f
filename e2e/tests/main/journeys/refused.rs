//! Orders that were accepted and then end for want of money or stock.

use e2e::{PlacedOrder, in_the_shop};
use serde_json::json;

use super::{events, steps};

#[test]
fn a_declined_card_cancels_the_order_and_frees_its_goods() {
    in_the_shop(async |shop| {
        let cards = [
            ("tok_declined", "card_declined"),
            ("tok_insufficient", "insufficient_funds"),
            ("tok_expired", "expired_card"),
            ("tok_never_heard_of", "card_declined"),
        ];
        for (token, code) in cards {
            let mug = shop.lists("5.00", 5).await;
            let customer = shop.welcomes("1.00").await;

            let order = shop.place(customer.wants(2, &mug).by_card(token)).await;
            let cancelled = shop.expect(&order, "cancelled").await;

            assert_eq!(cancelled["cancellation"]["reason"], "payment_declined");
            assert_eq!(cancelled["cancellation"]["detail"], code);
            let saga = shop.saga(&order, "compensated").await;
            let steps = steps(&saga);
            assert_eq!(steps[..2], ["inventory_reserved compensated", "payment_processed failed"]);
            assert_eq!(saga["compensated_steps"], json!(["inventory_reserved"]));
            assert_eq!(shop.the("payments", &order, "declined").await["decline"]["code"], code);
            shop.the("reservations", &order, "released").await;
            shop.expect_shelf(&mug, 5, 0, 0).await;
            shop.notification(&order, "order_cancelled", "sent").await;
        }
    });
}

#[test]
fn an_account_that_cannot_pay_cancels_the_order() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 50).await;
        let (nobody, foreigner) = (shop.a_stranger(), shop.a_stranger());
        let account = format!("/v1/accounts/{}", foreigner.id);
        shop.post(&account, &json!({"currency": "EUR"})).await.with(201);
        let poor = shop.welcomes("9.99").await;

        let all = [
            (&nobody, "no_account"),
            (&foreigner, "currency_mismatch"),
            (&poor, "insufficient_funds"),
        ];
        for (customer, code) in all {
            let order = shop.place(customer.wants(2, &mug).from_the_account()).await;
            let cancelled = shop.expect(&order, "cancelled").await;
            assert_eq!(cancelled["cancellation"]["reason"], "payment_declined");
            assert_eq!(cancelled["cancellation"]["detail"], code);
            shop.saga(&order, "compensated").await;
        }
        assert_eq!(shop.purse(&poor).await.available, "9.99");
        shop.expect_shelf(&mug, 50, 0, 0).await;
    });
}

#[test]
fn more_than_there_is_is_refused_at_once() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 3).await;
        let wanted = shop.a_stranger().wants(4, &mug);

        let problem = shop.ordering(&wanted).await.refused(409, "insufficient_inventory");

        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("insufficient inventory"), "{detail}");
        assert_eq!(problem["errors"][0]["pointer"], "/items/0/quantity");
    });
}

#[test]
fn of_two_who_want_the_last_piece_one_gets_it() {
    in_the_shop(async |shop| {
        for _ in 0..5 {
            let mug = shop.lists("5.00", 1).await;
            let wanted = || shop.a_stranger().wants(1, &mug).by_card("tok_visa");
            let (one, other) = (wanted(), wanted());

            let (one, other) = tokio::join!(shop.ordering(&one), shop.ordering(&other));

            let mut endings = Vec::new();
            for answer in [one, other] {
                if answer.status == 409 {
                    answer.refused(409, "insufficient_inventory");
                    endings.push("insufficient_inventory".to_owned());
                    continue;
                }
                let order = PlacedOrder::of(answer.with(201));
                let ended = |order: &serde_json::Value| {
                    order["status"] == "confirmed" || order["status"] == "cancelled"
                };
                let end = shop.until(&order.path(""), "an end", ended).await;
                let reason = end["cancellation"]["reason"].as_str().unwrap_or("confirmed");
                if reason != "confirmed" {
                    let saga = shop.saga(&order, "failed").await;
                    assert_eq!(steps(&saga)[0], "inventory_reserved failed");
                    assert!(events(shop, &order).await.contains(&"StockRejected".to_owned()));
                }
                endings.push(reason.to_owned());
            }
            endings.sort();
            assert_eq!(endings, ["confirmed", "insufficient_inventory"]);
            shop.expect_shelf(&mug, 0, 0, 1).await;
        }
    });
}
