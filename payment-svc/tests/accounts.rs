//! Accounts, their ledger and holds over HTTP; and what can be paid with.

use payment_svc::{domain::Event, holds};
use proto::OrderId;
use serde_json::{Value, json};

use super::{an_order, server::a_server};

#[tokio::test]
async fn an_account_is_opened_filled_and_read() {
    let server = a_server().await;

    let opened = server.http.post("/v1/accounts/c-1", json!({"currency": "USD"})).await;
    assert_eq!(opened.status, 201);
    assert_eq!(opened.headers["location"], "/v1/accounts/c-1");
    assert_eq!(
        server.http.post("/v1/accounts/c-1", json!({})).await.code(),
        (409, "account_exists")
    );

    let key = [("idempotency-key", "k-1")];
    let body = json!({"amount": {"amount": "100.00", "currency": "USD"}});
    let deposited = server.http.post_with("/v1/accounts/c-1/deposit", &key, body.clone()).await;
    let replayed = server.http.post_with("/v1/accounts/c-1/deposit", &key, body).await;
    assert_eq!(deposited.status, 201);
    assert_eq!(replayed.body, deposited.body);
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    let other = server.http.post_with("/v1/accounts/c-1/deposit", &key, json!({"amount": 7})).await;
    assert_eq!(other.code(), (422, "idempotency_key_reused"));

    let read = server.http.get("/v1/accounts/c-1/balance").await;
    assert_eq!(read.body["balance"], json!({"amount": "100.00", "currency": "USD"}));
    assert_eq!(read.body, server.http.get("/v1/accounts/c-1").await.body);
    let entries = server.http.get("/v1/accounts/c-1/entries").await;
    let [entry] = &entries.body["items"].as_array().unwrap()[..] else { panic!("one entry") };
    assert_eq!(entry["id"], deposited.body["entry_id"]);
    assert_eq!((&entry["kind"], &entry["debit"]), (&json!("deposit"), &json!("outside")));
    assert_eq!(server.http.get("/v1/accounts/nobody").await.code(), (404, "not_found"));
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    for _ in 0..4 {
        server.http.post("/v1/accounts/c-1/deposit", json!({"amount": "1.00"})).await;
    }

    let mut path = "/v1/accounts/c-1/entries?limit=2".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = server.http.get(&path).await.body;
        sizes.push(page["items"].as_array().unwrap().len());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts/c-1/entries?limit=2&cursor={cursor}");
    }

    assert_eq!(sizes, [2, 2, 1]);
    let bad = server.http.get("/v1/accounts/c-1/entries?cursor=abc").await;
    assert_eq!(bad.code(), (400, "bad_cursor"));
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    server.http.post("/v1/accounts/c-1/deposit", json!({"amount": "1.00"})).await;
    let of_order = format!("/v1/payments?order_id={}&", an_order());
    for (path, kind, place) in [
        ("/v1/accounts/c-1/entries?", "entries", json!("\0")),
        ("/v1/accounts/c-1/entries?", "entries", json!(u64::MAX)),
        ("/v1/accounts/c-1/entries?", "entries", json!(i64::MAX)),
        ("/v1/accounts/c-1/entries?", "entries", json!(i64::MIN)),
        ("/v1/accounts/c-1/entries?", "entries", json!(null)),
        ("/v1/accounts/c-1/entries?", "payments", json!(1)),
        (of_order.as_str(), "payments", json!("\0")),
        (of_order.as_str(), "payments", json!(u64::MAX)),
        (of_order.as_str(), "payments", json!(i64::MAX)),
    ] {
        let cursor = chassis::http::write_cursor(kind, &place);
        let told = server.http.get(&format!("{path}cursor={cursor}")).await;
        assert_eq!(told.code(), (400, "bad_cursor"), "{path} {place}");
    }
}

#[tokio::test]
async fn amounts_are_read_strictly() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    for (amount, code, pointer) in [
        (json!("0"), "amount_not_positive", "/amount"),
        (json!("-5.00"), "amount_not_positive", "/amount"),
        (json!("1.000"), "too_many_decimals", "/amount"),
        (json!("1e2"), "invalid_value", "/amount"),
        (json!("10000000"), "invalid_value", "/amount"),
        (json!("a lot"), "invalid_value", "/amount"),
        (json!({"amount": "1.00", "currency": "EUR"}), "invalid_value", "/amount/currency"),
        (json!({"amount": "1.00", "currency": "XYZ"}), "unknown_currency", "/amount/currency"),
        (json!(null), "missing_field", "/amount"),
    ] {
        let told =
            server.http.post("/v1/accounts/c-1/deposit", json!({"amount": amount.clone()})).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{amount}");
    }
    let bare = server.http.post("/v1/accounts/c-1/deposit", json!({"amount": "1.000"})).await;
    assert_eq!((bare.code(), bare.pointer()), ((422, "too_many_decimals"), "/amount"));
}

/// The kuna gave way to the euro: a request that names it is refused before an account or an order
/// is looked at.
#[tokio::test]
async fn a_withdrawn_currency_is_unknown_wherever_it_stands() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let (id, kuna) = (order.to_string(), json!({"amount": "20.00", "currency": "HRK"}));
    let wallet = json!({"type": "wallet"});
    for (path, body, pointer) in [
        ("/v1/accounts/c-2", json!({"currency": "HRK"}), "/currency"),
        ("/v1/accounts/c-2", json!({"currency": "dollars"}), "/currency"),
        ("/v1/accounts/c-1/deposit", json!({"amount": kuna}), "/amount/currency"),
        ("/v1/accounts/c-1/hold", json!({"order_id": id, "amount": kuna}), "/amount/currency"),
        (
            "/v1/payments",
            json!({"order_id": id, "amount": kuna, "payment_method": wallet}),
            "/amount/currency",
        ),
    ] {
        let told = server.http.post(path, body).await;
        assert_eq!((told.code(), told.pointer()), ((422, "unknown_currency"), pointer), "{path}");
    }
}

#[tokio::test]
async fn money_is_held_and_released() {
    let server = a_server().await.with_account("c-1", "50.00").await;
    let order = an_order().to_string();
    let hold = |amount: &str| json!({"order_id": order, "amount": amount});
    let release = json!({"order_id": order});

    let path = "/v1/accounts/c-1/release";
    assert_eq!(server.http.post(path, release.clone()).await.code(), (404, "not_found"));
    let path = "/v1/accounts/c-1/hold";
    assert_eq!(server.http.post(path, hold("50.01")).await.code(), (409, "insufficient_funds"));
    let done = server.http.post(path, hold("20.00")).await;
    assert_eq!(
        (done.status.as_u16(), &done.body["account"]["held"]["amount"]),
        (201, &json!("20.00"))
    );
    assert_eq!(server.http.post(path, hold("20.00")).await.status, 200);
    assert_eq!(server.http.post(path, hold("21.00")).await.code(), (409, "hold_exists"));
    for _ in 0..2 {
        let released = server.http.post("/v1/accounts/c-1/release", release.clone()).await;
        assert_eq!(released.body["account"]["available"]["amount"], "50.00");
        assert_eq!(released.status, 200);
    }
}

#[tokio::test]
async fn what_was_paid_with_is_held_no_more_and_an_order_that_has_ended_holds_nothing() {
    let server = a_server().await.with_account("c-1", "50.00").await;
    let (paid, cancelled) = (an_order(), an_order());
    let hold = |order: OrderId| json!({"order_id": order.to_string(), "amount": "15.00"});
    let path = "/v1/accounts/c-1/hold";
    assert_eq!(server.http.post(path, hold(paid)).await.status, 201);
    server.waits_for(paid, "20.00").await;
    let wallet = json!({"order_id": paid.to_string(), "payment_method": {"type": "wallet"}});
    assert_eq!(server.http.post("/v1/payments", wallet).await.status, 201);
    server.hear(cancelled, Event::OrderCancelled { revision: 1 }).await;

    let release = json!({"order_id": paid.to_string()});
    let released = server.http.post("/v1/accounts/c-1/release", release).await;
    assert_eq!(released.code(), (409, "hold_captured"));
    for ended in [paid, cancelled] {
        assert_eq!(server.http.post(path, hold(ended)).await.code(), (409, "not_payable"));
    }
    let entries = server.http.get("/v1/accounts/c-1/entries").await.body;
    let told = entries["items"].as_array().unwrap().iter().map(|entry| {
        let text = |member: &str| entry[member].as_str().unwrap().to_owned();
        let amount = entry["amount"]["amount"].as_str().unwrap();
        format!("{} {}→{} {amount}", text("kind"), text("debit"), text("credit"))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "deposit outside→available 50.00",
            "hold available→held 15.00",
            "capture held→shop 15.00",
            "capture available→shop 5.00"
        ]
    );
}

/// Whether a bare amount fits depends on the account, so that refusal is stored under its
/// idempotency key. What the body alone shows is not stored, so the same key works once the body is
/// corrected.
#[tokio::test]
async fn a_refusal_is_kept_under_its_key_only_if_the_account_made_it() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    let path = "/v1/accounts/c-1/deposit";
    for (amount, code, is_kept) in [
        (json!("1.000"), "too_many_decimals", true),
        (json!({"amount": "1.00", "currency": "EUR"}), "invalid_value", true),
        (json!({"amount": "1.000", "currency": "USD"}), "too_many_decimals", false),
        (json!("0"), "amount_not_positive", false),
        (json!("1e2"), "invalid_value", false),
        (json!({"amount": "1.00", "currency": "XYZ"}), "unknown_currency", false),
    ] {
        let key = an_order().to_string();
        let key = [("idempotency-key", key.as_str())];

        let refused = server.http.post_with(path, &key, json!({"amount": amount.clone()})).await;
        let right = server.http.post_with(path, &key, json!({"amount": "2.00"})).await;

        assert_eq!(refused.code(), (422, code), "{amount}");
        if is_kept {
            assert_eq!(right.code(), (422, "idempotency_key_reused"), "{amount}");
        } else {
            assert_eq!(right.status, 201, "{amount}");
        }
    }
}

/// Entries of many deposits at once: each page goes on where the last one ended, and no entry is
/// shown before one that was booked earlier.
#[tokio::test]
async fn entries_are_told_in_the_order_in_which_they_were_booked() {
    let mut server = a_server().await.with_account("c-1", "1.00").await;
    // An entry id that was made earlier, like that of a batch that waited for the account's lock.
    let earlier = "insert into ledger_entries
            (customer_id, entry_id, kind, debit, credit, amount, currency, at)
        values ('c-1', '01932c1e-0000-7000-8000-000000000000', 'deposit', 'outside', 'available',
            7, 'USD', clock_timestamp())";
    sqlx::raw_sql(earlier).execute(server.shop.mailbox.db().await).await.unwrap();
    let deposit = || server.http.post("/v1/accounts/c-1/deposit", json!({"amount": "1.00"}));
    for _ in 0..4 {
        let deposited = tokio::join!(deposit(), deposit(), deposit(), deposit());
        assert_eq!(deposited.0.status, 201);
    }

    let (mut times, mut amounts) = (Vec::new(), Vec::new());
    let mut path = "/v1/accounts/c-1/entries?limit=5".to_owned();
    loop {
        let page = server.http.get(&path).await.body;
        for entry in page["items"].as_array().unwrap() {
            times.push(entry["at"].as_str().unwrap().to_owned());
            amounts.push(entry["amount"]["amount"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts/c-1/entries?limit=5&cursor={cursor}");
    }

    assert_eq!((times.len(), amounts[1].as_str()), (18, "7.00"));
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn what_is_held_for_an_id_that_never_becomes_an_order_goes_back_after_a_day() {
    let mut server = a_server().await.with_account("c-1", "50.00").await;
    let (never, waiting, young) = (an_order(), an_order(), an_order());
    server.waits_for(waiting, "20.00").await;
    for order in [never, waiting, young] {
        let body = json!({"order_id": order.to_string(), "amount": "10.00"});
        assert_eq!(server.http.post("/v1/accounts/c-1/hold", body).await.status, 201);
    }
    let old = format!(
        "update holds set held_at = held_at - interval '24 hours'
        where order_id <> '{young}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(old)).execute(server.shop.mailbox.db().await).await.unwrap();
    let pool = chassis::database::connect_pool(&server.shop.database.url(), 1).await.unwrap();

    for _ in 0..2 {
        holds::expire(&server.mailbox, &pool).await.unwrap();
    }

    let account = server.http.get("/v1/accounts/c-1").await.body;
    assert_eq!(account["held"]["amount"], "20.00", "what an order waits for stays");
    let entries = server.http.get("/v1/accounts/c-1/entries").await.body;
    let last = entries["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["order_id"]), (&json!("release"), &json!(never.to_string())));
    let again = json!({"order_id": never.to_string(), "amount": "5.00"});
    assert_eq!(server.http.post("/v1/accounts/c-1/hold", again).await.status, 201);
    holds::expire(&server.mailbox, &pool).await.unwrap();
    let account = server.http.get("/v1/accounts/c-1").await.body;
    assert_eq!(account["held"]["amount"], "25.00", "a new hold has its own day");
}

#[tokio::test]
async fn payment_methods_are_validated_without_trying() {
    let server = a_server().await;
    let path = "/v1/payment-methods/validate";
    let card = |number: &str, expiry: &str| {
        let kind = "credit_card";
        json!({"type": kind, "card_number": number, "expiry": expiry, "cvv": "1234"})
    };
    let token = |token: &str| json!({"type": "card", "token": token});
    for (method, last4, reason) in [
        (token("tok_visa"), json!("4242"), Value::Null),
        (token("tok_declined"), json!("0002"), json!("card_declined")),
        (token("tok_insufficient"), json!("9995"), json!("insufficient_funds")),
        (token("tok_x"), Value::Null, json!("card_declined")),
        (token("5555555555554444"), Value::Null, json!("card_number_refused")),
        (card("4242424242424242", "01/20"), json!("4242"), json!("expired_card")),
        (card("5555555555554444", "12/29"), Value::Null, json!("card_number_refused")),
        (card("4242424242424242", "13/29"), Value::Null, json!("invalid_value")),
        (json!({"type": "gold", "token": "x"}), Value::Null, json!("unknown_payment_method")),
        (json!({"type": "wallet"}), Value::Null, json!("no_account")),
    ] {
        let told = server.http.post(path, json!({"payment_method": method.clone()})).await;

        assert_eq!(told.status, 200, "{method}: {}", told.body);
        assert_eq!(told.body["valid"], json!(reason.is_null()), "{}", told.body);
        assert_eq!((&told.body["last4"], &told.body["reason"]), (&last4, &reason), "{method}");
        let brand = if last4.is_null() { Value::Null } else { json!("visa") };
        assert_eq!(told.body["brand"], brand, "{method}");
    }
    let shapeless = server.http.post(path, json!({"payment_method": {"type": "card"}})).await;
    assert_eq!(shapeless.code(), (422, "missing_field"));
    server.http.post("/v1/accounts/anonymous", json!({})).await;
    let wallet = json!({"payment_method": {"type": "wallet"}});
    assert_eq!(server.http.post(path, wallet).await.body["valid"], true, "the caller has one");
}

#[tokio::test]
async fn a_validation_honours_its_idempotency_key() {
    let server = a_server().await;
    let path = "/v1/payment-methods/validate";
    let method = |token: &str| json!({"payment_method": {"type": "card", "token": token}});
    let key = [("idempotency-key", "k-1")];

    let first = server.http.post_with(path, &key, method("tok_visa")).await;
    let again = server.http.post_with(path, &key, method("tok_visa")).await;
    let other = server.http.post_with(path, &key, method("tok_declined")).await;
    let bad = server.http.post_with(path, &[("idempotency-key", "")], method("tok_visa")).await;

    assert_eq!((first.status, &again.body), (again.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(other.code(), (422, "idempotency_key_reused"));
    assert_eq!(bad.code(), (400, "bad_header"));
}

#[tokio::test]
async fn an_account_opened_without_a_body_is_in_dollars() {
    let server = a_server().await;
    let nothing = json!({"amount": "0.00", "currency": "USD"});

    let opened = server.http.ask("POST", "/v1/accounts/c-1", &[], None).await;
    let again = server.http.ask("POST", "/v1/accounts/c-1", &[], None).await;

    assert_eq!((opened.status.as_u16(), opened.header("location")), (201, "/v1/accounts/c-1"));
    for member in ["balance", "held", "available"] {
        assert_eq!(opened.body[member], nothing, "{member}");
    }
    assert_eq!(again.code(), (409, "account_exists"));
}
