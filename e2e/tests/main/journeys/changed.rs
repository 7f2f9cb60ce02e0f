//! Orders that change after they were placed: amended, refunded in part, shipped.

use e2e::in_the_shop;
use serde_json::{Value, json};

use super::events;

#[test]
fn an_order_amended_before_it_is_paid_is_what_it_asks_for_last() {
    in_the_shop(async |shop| {
        let (mug, pot) = (shop.lists("10.00", 5).await, shop.lists("3.00", 5).await);
        let order = shop.place(shop.welcomes("100.00").await.wants(4, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        let items = json!([{"sku": mug.sku, "quantity": 1}, {"sku": pot.sku, "quantity": 2}]);

        let amended = shop.put(&order.path(""), &json!({"items": items})).await.with(200);

        assert_eq!((&amended["revision"], &amended["amendment"]), (&json!(2), &json!("requested")));
        assert_eq!(amended["total_amount"]["amount"], "16.00");
        shop.until(&order.path(""), "reserved anew", |it| it["status"] == "payment_pending").await;
        // What is held beyond the new lines goes back when the order has ended.
        shop.expect_shelf(&mug, 5, 4, 0).await;
        shop.expect_shelf(&pot, 5, 2, 0).await;
        let payment = shop.paying(&order, &json!({"type": "wallet"})).await.with(201);
        assert_eq!(payment["amount"]["amount"], "16.00");
        shop.expect(&order, "confirmed").await;
        shop.expect_shelf(&mug, 4, 0, 1).await;
        shop.expect_shelf(&pot, 3, 0, 2).await;
        let said = events(shop, &order).await;
        let count = |name: &str| said.iter().filter(|said| *said == name).count();
        assert_eq!((count("OrderAmended"), count("OrderAwaitingPayment")), (1, 2), "{said:?}");
        let more = json!({"items": [{"sku": mug.sku, "quantity": 2}]});
        shop.put(&order.path(""), &more).await.refused(409, "not_amendable");
    });
}

/// The catalogue may say to both that there is a piece; who gets none has the lines of before.
#[test]
fn of_two_amendments_that_want_the_last_piece_one_is_taken_back() {
    in_the_shop(async |shop| {
        let (mug, rare) = (shop.lists("10.00", 9).await, shop.lists("3.00", 1).await);
        let wanted = || shop.a_stranger().wants(2, &mug);
        let orders = [shop.place(wanted()).await, shop.place(wanted()).await];
        for order in &orders {
            shop.expect(order, "payment_pending").await;
        }
        let items = json!([{"sku": mug.sku, "quantity": 1}, {"sku": rare.sku, "quantity": 1}]);
        let body = json!({"items": items});
        let amend = |at: usize| shop.put(&orders[at].path(""), &body);

        let (one, other) = tokio::join!(amend(0), amend(1));

        let mut had = Vec::new();
        for (order, answer) in orders.iter().zip([one, other]) {
            let is_refused = answer.status == 409;
            if is_refused {
                answer.refused(409, "insufficient_inventory");
            } else {
                assert_eq!(answer.with(200)["revision"], 2);
            }
            // Revision 2 is reserved, or revision 3 with the lines of before.
            let settled = |it: &Value| {
                let is_back = it["amendment"] == "stock_rejected" && it["revision"] == 3;
                let has_one = it["revision"] == 2 && it["items"].as_array().unwrap().len() == 2;
                it["status"] == "payment_pending" && (is_back || has_one || is_refused)
            };
            let order = shop.until(&order.path(""), "settled", settled).await;
            had.push(order["items"][1]["sku"] == json!(rare.sku));
            assert_eq!(order["items"][0]["quantity"], if had[had.len() - 1] { 1 } else { 2 });
        }
        had.sort_unstable();
        assert_eq!(had, [false, true]);
        shop.expect_shelf(&rare, 1, 1, 0).await;
    });
}

#[test]
fn a_confirmed_order_is_shipped_delivered_and_refunded_in_parts() {
    in_the_shop(async |shop| {
        let mug = shop.lists("20.00", 5).await;
        let customer = shop.welcomes("100.00").await;
        let order = shop.place(customer.wants(2, &mug).from_the_account()).await;
        shop.expect(&order, "confirmed").await;
        let parcel = json!({"carrier": "post", "tracking_number": "RR1"});

        shop.post(&order.path("/ship"), &parcel).await.with(200);
        shop.notification(&order, "order_shipped", "sent").await;
        shop.post(&order.path("/deliver"), &json!({})).await.with(200);
        shop.notification(&order, "order_delivered", "sent").await;
        let payment = shop.the("payments", &order, "captured").await;
        let refund = format!("/v1/payments/{}/refund", payment["id"].as_str().unwrap());
        let part = shop.post(&refund, &json!({"amount": "15.00"})).await.with(200);
        assert_eq!(part["status"], "partially_refunded");
        shop.post(&refund, &json!({"amount": "25.01"})).await.refused(409, "not_refundable");
        let rest = shop.post(&refund, &json!({})).await.with(200);

        assert_eq!((&rest["status"], &rest["refunded"]), (&json!("refunded"), &payment["amount"]));
        assert_eq!(shop.purse(&customer).await.available, "100.00");
        shop.notification(&order, "payment_refunded", "sent").await;
        let saga = shop.saga(&order, "completed").await;
        assert_eq!(saga["expected"], json!(null));
        assert_eq!(shop.get(&order.path("")).await.with(200)["status"], "delivered");
    });
}
