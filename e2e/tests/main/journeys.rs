//! Orders of every kind, from the customer's order to its end, over HTTP alone.

use e2e::{Placed, Shop};
use serde_json::{Value, json};

/// One stack for all of them: they do not touch each other's orders, and a stack takes seconds to start.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_goes_all_the_way() {
    let shop = Shop::open(&[("SHOP_RESERVATION_HOLD", "8s"), ("SHOP_DEADLINE_SWEEP", "250ms")]).await.unwrap();
    tokio::join!(
        paid_from_the_account(&shop),
        paid_by_card(&shop),
        declined(&shop),
        two_want_the_last_piece(&shop),
        paid_later(&shop),
        cancelled_while_it_waits(&shop),
        cancelled_when_it_is_confirmed(&shop),
        an_answer_of_the_provider_is_lost(&shop),
        nobody_pays_before_the_reservation_ends(&shop),
        a_customer_without_an_address(&shop),
        a_repeated_request_is_one_order(&shop),
    );
    shop.close().await.unwrap();
}

fn steps(saga: &Value) -> Vec<String> {
    let steps = saga["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
}

async fn paid_from_the_account(shop: &Shop) {
    let account = "/v1/accounts/customer-0001";
    let before = shop.api.get(account).await.unwrap().ok().unwrap();

    let order = shop.place(1, 1, json!({"method": "wallet"})).await.unwrap();
    let confirmed = shop.expect(&order, "confirmed").await.unwrap();

    assert_eq!(confirmed["version"], 2);
    let payment = shop.only("payments", &order).await.unwrap();
    assert_eq!((&payment["status"], &payment["method"]), (&json!("captured"), &json!("wallet")));
    assert_eq!(payment["amount"]["amount"], order.total.as_str());
    let after = shop.api.get(account).await.unwrap().ok().unwrap();
    let cents = |account: &Value| {
        account["balance"]["amount"].as_str().unwrap().replace('.', "").parse::<i64>().unwrap()
    };
    let total: i64 = order.total.replace('.', "").parse().unwrap();
    assert_eq!(cents(&before) - cents(&after), total);
    let reservation = shop.only("reservations", &order).await.unwrap();
    assert_eq!(reservation["status"], "sold");
    let path = format!("/v1/orders/{}/saga", order.id);
    let told = |saga: &Value| steps(saga).contains(&"notification_sent completed".to_owned());
    let saga = shop.until(&path, "the customer is told", told).await.unwrap();
    assert_eq!(saga["status"], "completed");
    let notification = shop.only("notifications", &order).await.unwrap();
    assert_eq!(notification["template"], "order_confirmation");
    let events = shop.api.list(&format!("/v1/orders/{}/events", order.id)).await.unwrap();
    let names: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(names[0].ends_with("OrderPlaced"), "{names:?}");
    assert_eq!(names.len(), 5, "{names:?}");
}

async fn paid_by_card(shop: &Shop) {
    let order = shop.place(2, 2, json!({"method": "card", "token": "tok_visa"})).await.unwrap();
    shop.expect(&order, "confirmed").await.unwrap();
    let payment = shop.only("payments", &order).await.unwrap();
    assert_eq!((&payment["status"], &payment["provider"]), (&json!("captured"), &json!("simulator")));
    assert_eq!(payment["card"]["brand"], "visa");
}

async fn declined(shop: &Shop) {
    let order = shop.place(3, 3, json!({"method": "card", "token": "tok_declined"})).await.unwrap();
    let cancelled = shop.expect(&order, "cancelled").await.unwrap();
    assert_eq!(cancelled["cancellation"]["reason"], "payment_declined");
    let saga = shop.expect_saga(&order, "compensated").await.unwrap();
    assert!(steps(&saga).contains(&"inventory_reserved compensated".to_owned()), "{saga}");
    assert!(steps(&saga).contains(&"payment_processed failed".to_owned()), "{saga}");
    assert_eq!(shop.only("reservations", &order).await.unwrap()["status"], "released");
    let payment = shop.only("payments", &order).await.unwrap();
    assert_eq!(payment["decline"]["code"], "card_declined");
}

async fn two_want_the_last_piece(shop: &Shop) {
    let wallet = || json!({"method": "wallet"});
    let (first, second) = tokio::join!(
        shop.try_place(4, "last-piece", 1, wallet()),
        shop.try_place(5, "last-piece", 1, wallet())
    );
    let mut endings = Vec::new();
    for answer in [first.unwrap(), second.unwrap()] {
        if answer.status == 409 {
            assert_eq!(answer.code(), "insufficient_inventory");
            endings.push("refused".to_owned());
            continue;
        }
        let order = Placed::from(&answer.ok().unwrap()).unwrap();
        let path = format!("/v1/orders/{}", order.id);
        let ended = |body: &Value| body["status"] == "confirmed" || body["status"] == "cancelled";
        let order = shop.until(&path, "an end", ended).await.unwrap();
        let reason = order["cancellation"]["reason"].as_str().unwrap_or("confirmed");
        endings.push(reason.to_owned());
    }
    endings.sort();
    assert!(
        endings == ["confirmed", "insufficient_inventory"] || endings == ["confirmed", "refused"],
        "{endings:?}"
    );
}

async fn paid_later(shop: &Shop) {
    let order = shop.place(6, 4, json!({"method": "deferred"})).await.unwrap();
    shop.expect(&order, "payment_pending").await.unwrap();
    let body = json!({"order_id": order.id, "amount": order.total,
        "payment_method": {"type": "credit_card", "card_number": "4111111111111111", "expiry": "12/29", "cvv": "123"}});
    let paid = shop.api.post("/v1/payments", &body).await.unwrap();
    assert_eq!((paid.status, &paid.body["status"]), (201, &json!("captured")), "{paid:?}");
    shop.expect(&order, "confirmed").await.unwrap();
    let again = shop.api.post("/v1/payments", &body).await.unwrap();
    assert_eq!((again.status, again.code()), (409, "already_paid"));
}

async fn cancelled_while_it_waits(shop: &Shop) {
    let order = shop.place(7, 5, json!({"method": "deferred"})).await.unwrap();
    let path = format!("/v1/orders/{}", order.id);
    let cancelled = shop.api.delete(&path).await.unwrap().ok().unwrap();
    assert_eq!(cancelled["cancellation"]["reason"], "customer_request");
    assert_eq!(shop.api.delete(&path).await.unwrap().status, 200);
    let look = |saga: &Value| saga["status"] == "compensated" || saga["status"] == "failed";
    shop.until(&format!("{path}/saga"), "an end", look).await.unwrap();
    let pay = json!({"order_id": order.id, "payment_method": {"type": "wallet"}});
    let late = shop.api.post("/v1/payments", &pay).await.unwrap();
    assert_eq!((late.status, late.code()), (409, "not_payable"));
}

async fn cancelled_when_it_is_confirmed(shop: &Shop) {
    let order = shop.place(8, 6, json!({"method": "wallet"})).await.unwrap();
    shop.expect(&order, "confirmed").await.unwrap();
    let body = json!({"reason": "changed my mind"});
    let path = format!("/v1/orders/{}/cancel", order.id);
    let cancelled = shop.api.post(&path, &body).await.unwrap().ok().unwrap();
    assert_eq!(cancelled["cancellation"]["detail"], "changed my mind");
    let saga = shop.expect_saga(&order, "compensated").await.unwrap();
    assert_eq!(saga["compensated_steps"], json!(["inventory_reserved", "payment_processed"]));
    let payment = shop.only("payments", &order).await.unwrap();
    assert_eq!((&payment["status"], &payment["refunded"]), (&json!("refunded"), &payment["amount"]));
}

async fn an_answer_of_the_provider_is_lost(shop: &Shop) {
    let order = shop.place(9, 7, json!({"method": "card", "token": "tok_lost"})).await.unwrap();
    shop.expect(&order, "confirmed").await.unwrap();
    // The provider's own books are the audit's: it finds a second capture.
}

async fn nobody_pays_before_the_reservation_ends(shop: &Shop) {
    let order = shop.place(10, 8, json!({"method": "deferred"})).await.unwrap();
    let cancelled = shop.expect(&order, "cancelled").await.unwrap();
    assert_eq!(cancelled["cancellation"]["reason"], "reservation_expired");
    shop.expect_saga(&order, "compensated").await.unwrap();
}

async fn a_customer_without_an_address(shop: &Shop) {
    let account = "/v1/accounts/nowhere-man";
    shop.api.post(account, &json!({"currency": "USD"})).await.unwrap().ok().unwrap();
    let deposit = shop.api.post(&format!("{account}/deposit"), &json!({"amount": "500.00"})).await.unwrap();
    deposit.ok().unwrap();
    let body = json!({"customer_id": "nowhere-man", "items": [{"sku": "product-00009", "quantity": 1}],
        "payment": {"method": "wallet"}});
    let answer = shop.api.post("/v1/orders", &body).await.unwrap().ok().unwrap();
    let order = Placed::from(&answer).unwrap();
    shop.expect(&order, "confirmed").await.unwrap();
    let path = format!("/v1/notifications?order_id={}", order.id);
    let failed = |body: &Value| body["items"][0]["failure"] == "no_address";
    shop.until(&path, "no address", failed).await.unwrap();
    assert_eq!(shop.expect(&order, "confirmed").await.unwrap()["status"], "confirmed");
}

async fn a_repeated_request_is_one_order(shop: &Shop) {
    let client = reqwest::Client::new();
    let url = format!("{}/v1/orders", shop.driven().stack().unwrap().gateway());
    let send = async |quantity: u32| {
        let body = json!({"customer_id": "customer-0011", "items": [{"sku": "product-00010", "quantity": quantity}],
            "payment": {"method": "wallet"}});
        let request = client.post(&url).header("idempotency-key", "once").json(&body);
        let answer = request.send().await.unwrap();
        let replayed = answer.headers().get("idempotency-replayed").cloned();
        (answer.status().as_u16(), replayed.is_some(), answer.json::<Value>().await.unwrap())
    };
    let (status, replayed, first) = send(1).await;
    assert_eq!((status, replayed), (201, false));
    let (status, replayed, second) = send(1).await;
    assert_eq!((status, replayed), (201, true));
    assert_eq!(first, second);
    let (status, _, problem) = send(2).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
    let order = Placed::from(&first).unwrap();
    shop.expect(&order, "confirmed").await.unwrap();
    let all = shop.api.list("/v1/customers/customer-0011/orders").await.unwrap();
    assert_eq!(all.len(), 1);
}
