//! Cards with which people pay deferred orders: each published one does what it is for.

use std::time::{Duration, Instant};

use e2e::{PlacedOrder, Shop, in_the_shop};
use futures::future::join_all;
use serde_json::{Value, json};

/// What is paid with, the code it is declined for (none: it is captured), and the last digits that
/// are shown (none: the card is not known).
type Row = (Value, Option<&'static str>, Option<&'static str>);

fn number(number: &str, expiry: &str) -> Value {
    json!({"type": "credit_card", "card_number": number, "expiry": expiry, "cvv": "123"})
}

fn token(token: &str) -> Value {
    json!({"type": "card", "token": token})
}

fn rows() -> Vec<Row> {
    let mut without_cvv = number("4242424242424242", "12/99");
    without_cvv.as_object_mut().unwrap().remove("cvv");
    let (declined, poor, expired) =
        (Some("card_declined"), Some("insufficient_funds"), Some("expired_card"));
    vec![
        (number("4242424242424242", "12/99"), None, Some("4242")),
        (number("4111111111111111", "12/99"), None, Some("1111")),
        (number("4111-1111-1111-1111", "12/99"), None, Some("1111")),
        (number("4242 4242 4242 4242", "12/99"), None, Some("4242")),
        (without_cvv, None, Some("4242")),
        (number("4000000000000002", "12/99"), declined, Some("0002")),
        (number("4000000000009995", "12/99"), poor, Some("9995")),
        (number("4000000000000069", "12/99"), expired, Some("0069")),
        (number("4242424242424242", "12/20"), expired, Some("4242")),
        (number("4000000000000002", "12/20"), expired, Some("0002")),
        (token("tok_visa"), None, Some("4242")),
        (token("tok_lost"), None, Some("4242")),
        (token("tok_declined"), declined, Some("0002")),
        (token("tok_insufficient"), poor, Some("9995")),
        (token("tok_expired"), expired, Some("0069")),
        (token("tok_nobody_gave"), declined, None),
    ]
}

#[test]
fn each_published_card_does_what_it_is_for() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 100).await;
        let rows = rows();
        let captured = rows.iter().filter(|(_, declined, _)| declined.is_none()).count();
        let orders = join_all(rows.into_iter().map(async |row| {
            let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
            shop.expect(&order, "payment_pending").await;
            ends_as_it_should(shop, &order, row).await;
        }));
        assert_eq!(orders.await.len(), 16);
        let (left, sold) = (100 - i64::try_from(captured).unwrap(), captured.try_into().unwrap());
        shop.expect_shelf(&mug, left, 0, sold).await;
    });
}

/// Pays the order, and looks at the answer, the payment, the order and the provider's own ledger.
async fn ends_as_it_should(shop: &Shop, order: &PlacedOrder, (method, declined, last4): Row) {
    let paying = shop.paying(order, &method).header("prefer", "wait=30").await;

    let shown = match declined {
        None => paying.with(201),
        Some(_) => paying.refused(402, "payment_declined")["payment"].take(),
    };
    let status = if declined.is_none() { "captured" } else { "declined" };
    assert_eq!((&shown["status"], &shown["method"]), (&json!(status), &json!("card")), "{method}");
    let card = last4.map(|last4| json!({"brand": "visa", "last4": last4}));
    assert_eq!(shown["card"], json!(card), "{method}");
    assert_eq!(shown["decline"]["code"], json!(declined), "{method}: {shown}");
    let payment = shop.the("payments", order, status).await;
    assert_eq!(payment["id"], shown["id"]);
    let ended = if declined.is_none() { "confirmed" } else { "cancelled" };
    let ended = shop.expect(order, ended).await;
    let reason = declined.map(|_| "payment_declined");
    assert_eq!(ended["cancellation"]["reason"], json!(reason), "{method}");
    assert_eq!(ended["cancellation"]["detail"], json!(declined), "{method}");
    let entry = shop.provider_entry(order).await;
    let counts = if declined.is_none() { (json!(1), json!(0)) } else { (json!(0), json!(1)) };
    assert_eq!((&entry["captures"], &entry["declines"]), (&counts.0, &counts.1), "{method}");
}

#[test]
fn a_slow_charge_is_captured_after_three_seconds() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        shop.expect(&order, "payment_pending").await;
        let began = Instant::now();

        let paid = shop.paying(&order, &token("tok_slow")).await;

        let took = began.elapsed();
        assert_eq!(
            paid.with(201)["status"],
            "captured",
            "without Prefer, it waits for ten seconds"
        );
        assert!(took >= Duration::from_secs(3), "{took:?}");
        shop.expect(&order, "confirmed").await;
    });
}

/// Whoever waits for the outcome hears of the other outcome, too, as soon as it is there.
#[test]
fn who_waits_is_told_of_a_cancellation_at_once() {
    in_the_shop(async |shop| {
        let mug = shop.lists("5.00", 5).await;
        let wanted = shop.a_stranger().wants(1, &mug).by_card("tok_declined");
        let began = Instant::now();

        let placed = shop.ordering(&wanted).header("prefer", "wait=99").await;

        assert_eq!(placed.header("preference-applied"), "wait=30", "more is cut to 30");
        let order = PlacedOrder::of(placed.with(201));
        assert_eq!(order.body["status"], "cancelled", "{}", order.body);
        let read = shop.get(&order.path("")).header("prefer", "wait=30").await.with(200);
        assert_eq!(read["cancellation"]["detail"], "card_declined");
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    });
}
