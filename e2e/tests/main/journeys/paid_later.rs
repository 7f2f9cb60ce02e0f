//! Deferred orders, which wait for `POST /v1/payments`.

use e2e::{PlacedOrder, Product, Shop, in_the_shop};
use serde_json::{Value, json};

fn card(token: &str) -> Value {
    json!({"type": "card", "token": token})
}

/// A deferred order that waits for its payment.
async fn an_unpaid_order(shop: &Shop) -> (PlacedOrder, Product) {
    let mug = shop.lists("29.99", 5).await;
    let order = shop.place(shop.welcomes("100.00").await.wants(2, &mug)).await;
    shop.expect(&order, "payment_pending").await;
    (order, mug)
}

#[test]
fn a_deferred_order_waits_and_is_paid_later() {
    in_the_shop(async |shop| {
        let (order, mug) = an_unpaid_order(shop).await;
        shop.notification(&order, "payment_due", "sent").await;
        shop.the("reservations", &order, "held").await;
        shop.expect_shelf(&mug, 5, 2, 0).await;
        let body =
            json!({"order_id": order.id, "amount": "59.98", "payment_method": card("tok_visa")});
        let pay = |key: &str| shop.post("/v1/payments", &body).header("idempotency-key", key);
        let (key, other) = (shop.a_name("pay"), shop.a_name("pay"));

        let first = pay(&key).await;
        let again = pay(&key).await;

        let location = first.header("location").to_owned();
        assert_eq!(again.header("idempotency-replayed"), "true");
        let payment = first.with(201);
        assert_eq!(payment["status"], "captured");
        assert_eq!(payment["amount"], json!({"amount": "59.98", "currency": "USD"}));
        assert_eq!(again.with(201), payment);
        assert_eq!(location, format!("/v1/payments/{}", payment["id"].as_str().unwrap()));
        shop.get(&location).await.with(200);
        shop.expect(&order, "confirmed").await;
        pay(&other).await.refused(409, "already_paid");
        shop.expect_shelf(&mug, 3, 0, 2).await;
    });
}

#[test]
fn a_declined_payment_ends_the_order() {
    in_the_shop(async |shop| {
        let (order, mug) = an_unpaid_order(shop).await;

        let problem =
            shop.paying(&order, &card("tok_declined")).await.refused(402, "payment_declined");

        assert_eq!(problem["payment"]["status"], "declined");
        assert_eq!(problem["payment"]["decline"]["code"], "card_declined");
        let cancelled = shop.expect(&order, "cancelled").await;
        assert_eq!(cancelled["cancellation"]["reason"], "payment_declined");
        shop.expect_shelf(&mug, 5, 0, 0).await;
        shop.paying(&order, &card("tok_visa")).await.refused(409, "not_payable");
    });
}

#[test]
fn a_payment_under_way_goes_on_by_itself_and_its_repetition_tells_the_end() {
    in_the_shop(async |shop| {
        let (order, _) = an_unpaid_order(shop).await;
        let key = shop.a_name("pay");
        let pay = || shop.paying(&order, &card("tok_slow")).header("idempotency-key", &key);

        let open = pay().header("prefer", "wait=0").await.with(202);
        assert_eq!(open["status"], "processing");
        let end = pay().header("prefer", "wait=20").await.with(201);

        assert_eq!((&end["id"], &end["status"]), (&open["id"], &json!("captured")));
        shop.expect(&order, "confirmed").await;
    });
}

#[test]
fn a_payment_that_takes_longer_than_the_caller_waits_is_processing() {
    in_the_shop(async |shop| {
        let (order, _) = an_unpaid_order(shop).await;

        let answer = shop.paying(&order, &card("tok_slow")).header("prefer", "wait=1").await;

        assert_eq!(answer.header("preference-applied"), "wait=1");
        assert_eq!(answer.with(202)["status"], "processing");
        shop.expect(&order, "confirmed").await;
    });
}

#[test]
fn money_held_for_an_order_is_what_pays_it() {
    in_the_shop(async |shop| {
        let mug = shop.lists("29.99", 5).await;
        let customer = shop.welcomes("100.00").await;
        let order = shop.place(customer.wants(2, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        let account = format!("/v1/accounts/{}", customer.id);
        let hold = |amount: &str| {
            let body = json!({"order_id": order.id, "amount": amount});
            shop.post(&format!("{account}/hold"), &body)
        };

        hold("50.00").await.with(201);
        hold("50.00").await.with(200);
        hold("51.00").await.refused(409, "hold_exists");
        let purse = shop.purse(&customer).await;
        assert_eq!(
            (purse.balance, purse.held, purse.available),
            ("100.00".into(), "50.00".into(), "50.00".into())
        );
        shop.paying(&order, &json!({"type": "wallet"})).await.with(201);

        shop.expect(&order, "confirmed").await;
        let purse = shop.purse(&customer).await;
        assert_eq!((purse.balance, purse.held), ("40.02".into(), "0.00".into()));
        let release = json!({"order_id": order.id});
        shop.post(&format!("{account}/release"), &release).await.refused(409, "hold_captured");
        let entries = shop.get(&format!("{account}/entries")).await.with(200);
        let kinds: Vec<_> =
            entries["items"].as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
        assert_eq!(kinds[..2], [&json!("deposit"), &json!("hold")]);
        assert!(kinds[2..].iter().all(|kind| *kind == "capture"), "{kinds:?}");
    });
}

#[test]
fn what_cannot_be_paid_is_refused() {
    in_the_shop(async |shop| {
        let (order, _) = an_unpaid_order(shop).await;
        let unknown =
            PlacedOrder { id: "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f".into(), body: json!(null) };

        let body =
            json!({"order_id": order.id, "amount": "59.97", "payment_method": card("tok_visa")});
        let problem = shop.post("/v1/payments", &body).await.refused(422, "invalid_value");
        assert_eq!(problem["errors"][0]["pointer"], "/amount");
        shop.paying(&unknown, &card("tok_visa")).await.refused(404, "not_found");
        shop.delete(&order.path("")).await.with(200);
        shop.saga(&order, "compensated").await;
        shop.paying(&order, &card("tok_visa")).await.refused(409, "not_payable");
    });
}
