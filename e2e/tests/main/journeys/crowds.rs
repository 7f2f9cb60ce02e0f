//! Crowds: more want something than there is of it, all at once.

use e2e::{AnOrder, PlacedOrder, Shop, in_the_shop};
use futures::future::join_all;
use serde_json::Value;

/// Places all orders at once; returns how many were confirmed, once all have ended. Some may be
/// refused before they are accepted, because the catalogue knows.
async fn confirmed(shop: &Shop, orders: Vec<AnOrder>) -> usize {
    let answers = join_all(orders.iter().map(|order| async { shop.ordering(order).await })).await;
    let ends = answers.into_iter().map(|answer| async {
        if answer.status == 409 {
            answer.refused(409, "insufficient_inventory");
            return false;
        }
        let order = PlacedOrder::of(answer.with(201));
        let has_ended = |it: &Value| it["status"] == "confirmed" || it["status"] == "cancelled";
        shop.until(&order.path(""), "an end", has_ended).await["status"] == "confirmed"
    });
    join_all(ends).await.into_iter().filter(|is_confirmed| *is_confirmed).count()
}

#[test]
fn of_fifty_who_want_ten_pieces_ten_get_one() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 10).await;
        let wanted = || shop.a_stranger().wants(1, &mug).by_card("tok_visa");

        assert_eq!(confirmed(shop, (0..50).map(|_| wanted()).collect()).await, 10);
        shop.expect_shelf(&mug, 0, 0, 10).await;
    });
}

#[test]
fn an_account_with_money_for_ten_of_thirty_orders_pays_ten() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 100).await;
        let customer = shop.welcomes("54.99").await;
        let wanted = || customer.wants(1, &mug).from_the_account();

        assert_eq!(confirmed(shop, (0..30).map(|_| wanted()).collect()).await, 10);
        shop.expect_shelf(&mug, 90, 0, 10).await;
        assert_eq!(shop.purse(&customer).await.available, "4.99");
    });
}
