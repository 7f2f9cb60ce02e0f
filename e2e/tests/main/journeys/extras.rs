//! Orders with lines without stock, such as gift wrapping: of them alone, and beside goods.

use e2e::{AnOrder, PlacedOrder, Purse, Shop, in_the_shop};
use serde_json::{Value, json};

use super::{events, steps};

fn usd(amount: &str) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// Three wraps at 5.00.
fn wraps() -> Value {
    json!({"description": "gift wrap", "quantity": 3, "unit_price": "5.00"})
}

/// The order with its lines replaced.
fn of_lines(order: AnOrder, lines: &[Value]) -> AnOrder {
    order.with("items", json!(lines))
}

/// The order's reservations, in the state `status`: the pieces of each.
async fn reserved(shop: &Shop, order: &PlacedOrder, status: &str) -> Value {
    shop.the("reservations", order, status).await["items"].take()
}

#[test]
fn an_order_of_extras_alone_goes_all_the_way_and_its_money_comes_back() {
    in_the_shop(async |shop| {
        let customer = shop.welcomes("100.00").await;
        let mug = shop.lists("1.00", 5).await;
        let wanted = of_lines(customer.wants(1, &mug), &[wraps()]).from_the_account();

        let order = shop.place(wanted).await;
        let confirmed = shop.expect(&order, "confirmed").await;

        let line = json!({"line": 1, "sku": null, "name": "gift wrap", "quantity": 3,
            "unit_price": usd("5.00"), "total": usd("15.00")});
        assert_eq!(confirmed["items"], json!([line]));
        assert_eq!(confirmed["total_amount"], usd("15.00"));
        assert_eq!(reserved(shop, &order, "sold").await, json!([]));
        assert_eq!(shop.the("payments", &order, "captured").await["amount"], usd("15.00"));
        shop.notification(&order, "order_confirmation", "sent").await;
        let to = format!("{}@example.com", customer.id);
        let mail = shop.message_to(&to, &order.id).await;
        assert!(mail["text"].as_str().unwrap().contains("3 × gift wrap (5.00 USD)"), "{mail}");
        let saga = shop.saga(&order, "completed").await;
        let done = ["inventory_reserved completed", "payment_processed completed"];
        assert_eq!(steps(&saga)[..2], done);
        let said = events(shop, &order).await;
        assert_eq!(
            said[..4],
            ["OrderPlaced", "StockReserved", "PaymentCaptured", "OrderConfirmed"]
        );

        shop.delete(&order.path("")).await.with(200);

        let saga = shop.saga(&order, "compensated").await;
        let undone = ["inventory_reserved compensated", "payment_processed compensated"];
        assert_eq!(steps(&saga)[..2], undone);
        let all =
            Purse { balance: "100.00".into(), held: "0.00".into(), available: "100.00".into() };
        assert_eq!(shop.purse(&customer).await, all);
        shop.expect_shelf(&mug, 5, 0, 0).await;
    });
}

#[test]
fn goods_and_extras_of_one_order_are_paid_together_and_only_goods_are_reserved() {
    in_the_shop(async |shop| {
        let mug = shop.lists("20.00", 5).await;
        let goods = |quantity: u32| json!({"sku": mug.sku, "quantity": quantity});
        let wanted = of_lines(shop.a_stranger().wants(1, &mug), &[goods(2), wraps()]);

        let order = shop.place(wanted.by_card("tok_visa")).await;
        let confirmed = shop.expect(&order, "confirmed").await;

        assert_eq!(confirmed["total_amount"], usd("55.00"));
        let names: Vec<_> =
            confirmed["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["Blue mug", "gift wrap"]);
        let lines = reserved(shop, &order, "sold").await;
        assert_eq!(lines, json!([{"sku": mug.sku, "quantity": 2, "warehouse": "main"}]));
        shop.expect_shelf(&mug, 3, 0, 2).await;
        assert_eq!(shop.provider_entry(&order).await["captured"], "55.00");
        let parcel = json!({"carrier": "post", "tracking_number": "RR2"});
        shop.post(&order.path("/ship"), &parcel).await.with(200);
        shop.post(&order.path("/deliver"), &json!({})).await.with(200);
    });
}

/// Goods may leave an order by an amendment, and come back: what is held for it stays held until
/// its end.
#[test]
fn an_order_loses_its_goods_and_keeps_its_extras() {
    in_the_shop(async |shop| {
        let mug = shop.lists("20.00", 5).await;
        let goods = json!({"sku": mug.sku, "quantity": 2});
        let wanted = of_lines(shop.a_stranger().wants(1, &mug), &[goods, wraps()]);
        let order = shop.place(wanted).await;
        shop.expect(&order, "payment_pending").await;

        let amended = shop.put(&order.path(""), &json!({"items": [wraps()]})).await.with(200);

        assert_eq!((&amended["revision"], &amended["total_amount"]), (&json!(2), &usd("15.00")));
        shop.until(&order.path(""), "reserved anew", |it| it["status"] == "payment_pending").await;
        assert_eq!(reserved(shop, &order, "held").await, json!([]));
        shop.expect_shelf(&mug, 5, 2, 0).await;
        let paid =
            shop.paying(&order, &json!({"type": "card", "token": "tok_visa"})).await.with(201);
        assert_eq!(paid["amount"], usd("15.00"));
        shop.expect(&order, "confirmed").await;
        shop.expect_shelf(&mug, 5, 0, 0).await;
    });
}
