//! Pieces that staff reserve for no order: other orders do not get them, and they come back.

use e2e::{PlacedOrder, in_the_shop};
use serde_json::json;

#[test]
fn what_staff_reserve_is_nobody_elses_until_it_goes_back() {
    in_the_shop(async |shop| {
        let mug = shop.lists("1.00", 3).await;
        let wanted =
            |pieces| json!({"reference": "fair", "items": [{"sku": mug.sku, "quantity": pieces}]});
        shop.post("/v1/reservations", &wanted(4)).await.refused(409, "insufficient_inventory");
        let held = shop.post("/v1/reservations", &wanted(2)).await.with(201);
        let path = format!("/v1/reservations/{}", held["id"].as_str().unwrap());
        shop.expect_shelf(&mug, 3, 2, 0).await;

        let two = shop.a_stranger().wants(2, &mug).by_card("tok_visa");
        let answer = shop.ordering(&two).await;
        // order-svc may not have heard of the reservation yet: then stock says no.
        if answer.status == 201 {
            let order = PlacedOrder::of(answer.with(201));
            let cancelled = shop.expect(&order, "cancelled").await;
            assert_eq!(cancelled["cancellation"]["reason"], "insufficient_inventory");
        } else {
            answer.refused(409, "insufficient_inventory");
        }
        shop.put(&path, &json!({"expires_in_s": 60})).await.with(200);
        assert_eq!(shop.delete(&path).await.with(200)["status"], "released");
        shop.delete(&path).await.refused(409, "not_amendable");

        let order = shop.place(two).await;
        shop.expect(&order, "confirmed").await;
        shop.expect_shelf(&mug, 1, 0, 2).await;
    });
}

#[test]
fn what_staff_reserve_goes_back_by_itself() {
    in_the_shop(async |shop| {
        let mug = shop.lists("1.00", 1).await;
        let items = json!([{"sku": mug.sku, "quantity": 1}]);
        let body = json!({"items": items, "expires_in_s": 1});
        let held = shop.post("/v1/reservations", &body).await.with(201);

        let path = format!("/v1/reservations/{}", held["id"].as_str().unwrap());
        shop.until(&path, "expired", |reservation| reservation["status"] == "expired").await;
        shop.expect_shelf(&mug, 1, 0, 0).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;
    });
}
