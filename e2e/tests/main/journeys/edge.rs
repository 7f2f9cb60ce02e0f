//! Other promises of the HTTP API: repeated requests, entity tags, traces, and a catalogue that is
//! not too far behind.

use std::time::{Duration, Instant};

use e2e::{PlacedOrder, in_the_shop};
use serde_json::json;

/// How long order-svc looks for what it does not know yet before it refuses an order.
const LOOKED_FOR: Duration = Duration::from_millis(500);

#[test]
fn a_repeated_request_is_one_order() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 50).await;
        let customer = shop.welcomes("50.00").await;
        let wanted = customer.wants(1, &mug).from_the_account();
        let key = shop.a_name("once");
        let send = || shop.ordering(&wanted).header("idempotency-key", &key);

        let (one, other) = tokio::join!(send(), send());
        let third = send().await;

        let replayed = [&one, &other, &third].map(|it| it.header("idempotency-replayed") == "true");
        assert_eq!(replayed.iter().filter(|replayed| **replayed).count(), 2, "{replayed:?}");
        let first = one.with(201);
        assert_eq!((other.with(201), third.with(201)), (first.clone(), first));
        let more = customer.wants(2, &mug).from_the_account();
        let reused = shop.ordering(&more).header("idempotency-key", &key).await;
        reused.refused(422, "idempotency_key_reused");
        let list = shop.get(&format!("/v1/customers/{}/orders", customer.id)).await.with(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_refusal_is_repeated_under_its_key_too() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 1).await;
        let wanted = shop.a_stranger().wants(2, &mug);
        let key = shop.a_name("once");
        let send = || shop.ordering(&wanted).header("idempotency-key", &key);

        send().await.refused(409, "insufficient_inventory");
        let body = json!({"warehouse": "main", "delta": 10, "reason": "received"});
        shop.post(&format!("/v1/products/{}/stock", mug.sku), &body).await.with(200);

        let again = send().await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        again.refused(409, "insufficient_inventory");
        shop.ordering(&wanted).await.with(201);
    });
}

#[test]
fn tags_tell_whether_an_order_has_changed() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 50).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        let shown = shop.get(&order.path("")).await;
        let tag = shown.header("etag").to_owned();
        assert!(!tag.is_empty());

        let same = shop.get(&order.path("")).header("if-none-match", &tag).await;
        assert_eq!((same.status, same.text.as_str(), same.header("etag")), (304, "", tag.as_str()));
        let stale = shop.delete(&order.path("")).header("if-match", "\"another\"").await;
        stale.refused(412, "stale");
        shop.delete(&order.path("")).header("if-match", &tag).await.with(200);
        let changed = shop.get(&order.path("")).header("if-none-match", &tag).await;
        assert_ne!(changed.header("etag"), tag);
        assert_eq!(changed.with(200)["status"], "cancelled");
    });
}

#[test]
fn another_price_than_the_client_saw_is_refused_with_both() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 50).await;
        let line = |price: &str| json!([{"sku": mug.sku, "quantity": 1, "unit_price": price}]);
        let wanted = shop.a_stranger().wants(1, &mug);

        let problem = shop.ordering(&wanted.clone().with("items", line("4.99"))).await;
        let problem = problem.refused(409, "price_changed");

        assert_eq!(problem["errors"][0]["pointer"], "/items/0/unit_price");
        let usd = |amount: &str| json!({"amount": amount, "currency": "USD"});
        let both = json!([{"sku": mug.sku, "unit_price": usd("4.99"), "price": usd("5.00")}]);
        assert_eq!(problem["prices"], both);
        shop.ordering(&wanted.with("items", line("5.00"))).await.with(201);
    });
}

#[test]
fn a_product_just_listed_can_be_ordered_at_once() {
    in_the_shop(async |shop| {
        let mut confirmed = 0;
        for _ in 0..10 {
            let mug = shop.lists_unheard("5.00", 1).await;
            let asked = Instant::now();
            let wanted = shop.a_stranger().wants(1, &mug).by_card("tok_visa");
            let answer = shop.ordering(&wanted).await;
            if answer.status == 201 {
                shop.expect(&PlacedOrder::of(answer.body), "confirmed").await;
                confirmed += 1;
            } else {
                // On a busy machine the events may need longer than order-svc looks for them.
                assert!(asked.elapsed() >= LOOKED_FOR, "{answer}");
                assert!(["unknown_product", "insufficient_inventory"].contains(&answer.code()));
            }
        }
        assert_ne!(confirmed, 0);
    });
}

#[test]
fn a_caller_s_trace_and_request_id_come_back_and_stay_with_the_order() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 1).await;
        let trace = uuid::Uuid::new_v4().simple().to_string();
        let asked = shop
            .ordering(&shop.a_stranger().wants(1, &mug))
            .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
            .header("x-request-id", "mine");

        let answer = asked.await;

        assert_eq!(answer.header("x-request-id"), "mine");
        assert!(answer.header("traceresponse").contains(&trace), "{:?}", answer.headers);
        let order = PlacedOrder::of(answer.with(201));
        assert_eq!(shop.get(&order.path("/saga")).await.with(200)["trace_id"], trace);
        let problem = shop.get("/v1/orders/nothing").await.refused(404, "not_found");
        assert_eq!(problem["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(problem["instance"], "/v1/orders/nothing");
        assert_eq!(problem["type"], "/problems/not_found");
    });
}
