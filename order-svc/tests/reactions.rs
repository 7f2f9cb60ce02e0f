//! Reactions: given rows, when a message or a request comes, then rows and events.

use mailbox::testing::{message, reacts_once, reacts_whole};
use order_svc::{domain::Method, input::Input, store, wire};
use proto::{Event, orders::order_event, payments, stock, topic};

use super::{Shop, a_shop, an_id, asked, dollars};

#[tokio::test]
async fn an_order_is_placed_with_terms_for_payment_alone() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Card).await;

    assert_eq!(shop.status(order).await, "pending");
    let appended = shop.mailbox.outbox().await.pop().unwrap();
    let Event::Orders(order_event::Event::OrderPlaced(placed)) =
        Event::decode(topic::ORDERS, &appended.payload).unwrap().unwrap()
    else {
        panic!("something else was said")
    };
    assert_eq!((appended.version, appended.key), (1, order.to_string()));
    assert_eq!(placed.total, Some(dollars(59, 980_000_000)));
    assert_eq!(placed.lines[0].name, "a mug");
    let terms = placed.terms.unwrap();
    assert_eq!(terms.amount, placed.total);
    assert_eq!(terms.details.unwrap().ciphertext, vec![2; 24]);

    let history = store::order_events::of_order(shop.db().await, order, 0, 10).await.unwrap();
    let stored = shop.order(order).await;
    let Some(Event::Orders(order_event::Event::OrderPlaced(kept))) =
        wire::decode_history(&stored.order, topic::ORDERS, &history[0].payload)
    else {
        panic!("the history has lost it")
    };
    assert_eq!(kept.terms.as_ref().unwrap().details, None, "no history needs them");
    assert_eq!((kept.order_id, kept.lines), (placed.order_id, placed.lines));
    assert_eq!(stored.trace_id, Some([7; 16]));
}

#[tokio::test]
async fn stock_and_money_confirm_an_order_in_either_order() {
    for reserved_first in [true, false] {
        let mut shop = a_shop().await;
        let order = shop.place(Method::Wallet).await;
        let (reserved, captured) = (shop.reserved(order), shop.captured(order));
        let (one, other) = if reserved_first { (reserved, captured) } else { (captured, reserved) };

        shop.hear([one]).await;
        let meanwhile = if reserved_first { "payment_pending" } else { "paid" };
        assert_eq!(shop.status(order).await, meanwhile);
        assert_eq!(shop.count("order_deadlines").await, i64::from(reserved_first));
        shop.hear([other]).await;

        assert_eq!(shop.status(order).await, "confirmed");
        assert_eq!(shop.names(order).await, ["OrderPlaced", "OrderConfirmed"]);
        assert_eq!(shop.count("order_deadlines").await, 0);
    }
}

#[tokio::test]
async fn the_whole_life_of_an_order_fits_into_one_batch() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Card).await;

    let messages = [shop.reserved(order), shop.captured(order), shop.notified(order)];
    shop.hear(messages).await;
    shop.cancel(order).await;
    let messages = [shop.refunded(order), shop.released(order)];
    shop.hear(messages).await;

    assert_eq!(shop.names(order).await, ["OrderPlaced", "OrderConfirmed", "OrderCancelled"]);
    let stored = shop.order(order).await;
    assert_eq!(stored.events, 8);
    assert_eq!((stored.heard.stock, stored.heard.payments, stored.heard.notifications), (2, 2, 1));
    let history = store::order_events::of_order(shop.db().await, order, 0, 50).await.unwrap();
    let numbers: Vec<i32> = history.iter().map(|row| row.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let saga = order_svc::domain::Saga::of(&stored.order);
    assert_eq!(saga.status.as_str(), "compensated");
    assert_eq!(saga.expected, None);
}

#[tokio::test]
async fn a_declined_payment_and_missing_stock_cancel() {
    let mut shop = a_shop().await;
    let (declined, rejected) = (shop.place(Method::Card).await, shop.place(Method::Card).await);

    let messages = [shop.reserved(declined), shop.declined(declined), shop.rejected(rejected)];
    shop.hear(messages).await;

    let cancellation = shop.order(declined).await.order.cancellation.unwrap();
    assert_eq!(
        (cancellation.reason.as_str(), &*cancellation.detail),
        ("payment_declined", "card_declined")
    );
    let cancellation = shop.order(rejected).await.order.cancellation.unwrap();
    assert_eq!(cancellation.reason.as_str(), "insufficient_inventory");
    assert_eq!(&*cancellation.detail, "insufficient inventory: 2 of mug wanted, 1 available");
    assert_eq!(shop.count("order_deadlines").await, 0);
}

#[tokio::test]
async fn a_deferred_order_asks_for_its_payment_and_is_cancelled_when_its_time_is_over() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Deferred).await;
    let reserved = shop.reserved(order);
    shop.hear([reserved]).await;
    assert_eq!(shop.names(order).await, ["OrderPlaced", "OrderAwaitingPayment"]);
    assert_eq!(shop.count("order_deadlines").await, 1);

    shop.tell(Input::DeadlinePassed(order)).await;
    assert_eq!(shop.status(order).await, "payment_pending", "its time is not over yet");
    let mut shop = shop.after_the_deadlines();
    shop.tell(Input::DeadlinePassed(order)).await;
    shop.tell(Input::DeadlinePassed(order)).await;

    assert_eq!(
        shop.order(order).await.order.cancellation.unwrap().reason.as_str(),
        "payment_timeout"
    );
    let said = ["OrderPlaced", "OrderAwaitingPayment", "OrderCancelled"];
    assert_eq!(shop.names(order).await, said);
    assert_eq!(shop.count("order_deadlines").await, 0);
}

#[tokio::test]
async fn an_expired_reservation_cancels_what_nobody_paid() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Deferred).await;
    let expired = stock::ReservationExpired { order_id: order.to_string(), revision: 1 };
    let messages = [shop.reserved(order), shop.said(order, expired)];
    shop.hear(messages).await;

    let reason = shop.order(order).await.order.cancellation.unwrap().reason.as_str();
    assert_eq!(reason, "reservation_expired");
}

#[tokio::test]
async fn a_second_cancel_says_nothing_and_is_as_good() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Card).await;

    let (first, second) = (shop.cancel(order).await, shop.cancel(order).await);

    assert_eq!((first.status, &first), (200, &second));
    assert_eq!(shop.names(order).await, ["OrderPlaced", "OrderCancelled"]);
    assert_eq!(shop.cancel(an_id()).await.status, 404);
}

#[tokio::test]
async fn every_reaction_happens_once_and_whole() {
    let given = async |wanted: usize| {
        let mut shop = a_shop().await;
        let order = shop.place(Method::Deferred).await;
        // First what has to have happened before, then the message itself.
        let message = match wanted {
            0 => shop.reserved(order),
            1 => shop.rejected(order),
            2 => {
                let reserved = shop.reserved(order);
                shop.hear([reserved]).await;
                shop.captured(order)
            }
            3 => shop.declined(order),
            4 => {
                shop.cancel(order).await;
                shop.released(order)
            }
            5 => {
                shop.cancel(order).await;
                shop.refunded(order)
            }
            _ => shop.notified(order),
        };
        (shop, message)
    };
    for wanted in 0..7 {
        let (mut shop, message) = given(wanted).await;
        reacts_once(&mut shop.mailbox, message).await;
        let (mut shop, message) = given(wanted).await;
        reacts_whole(&mut shop.mailbox, message).await;
    }
}

#[tokio::test]
async fn the_highest_version_of_a_product_wins() {
    let mut shop = a_shop().await;
    let old = shop.told("pot", "5.00", 1);
    let new = shop.told("pot", "6.00", 2);

    shop.hear([new.clone(), old.clone()]).await;
    shop.hear([old]).await;
    shop.hear([new]).await;

    let known = store::products_seen::find_all(shop.db().await, &["pot"]).await.unwrap();
    let product = known.values().next().unwrap();
    assert_eq!((product.version, product.available), (2, 2));
}

async fn stops(shop: &mut Shop, message: mailbox::Message, class: &str) {
    assert_eq!(shop.mailbox.hear(vec![message]).await, 1);
    let classes: Vec<String> =
        sqlx::query_scalar("select class from parked_keys order by since desc")
            .fetch_all(shop.db().await)
            .await
            .unwrap();
    assert_eq!(classes[0], class);
}

#[tokio::test]
async fn what_makes_no_sense_stops_its_own_order_only() {
    let mut shop = a_shop().await;
    let (order, other) = (shop.place(Method::Card).await, shop.place(Method::Card).await);

    let unknown = an_id();
    let message_of_unknown = shop.reserved(unknown);
    stops(&mut shop, message_of_unknown, "unknown_order").await;
    let yen = proto::money::Money { currency_code: "JPY".to_owned(), units: 59, nanos: 0 };
    let foreign = payments::PaymentCaptured {
        order_id: order.to_string(),
        payment_id: super::PAYMENT.to_owned(),
        revision: 1,
        amount: Some(yen),
        ..Default::default()
    };
    let foreign = shop.said(order, foreign);
    stops(&mut shop, foreign, "other_currency").await;
    let mut other_key = shop.released(other);
    other_key.key = Some(an_id().key());
    stops(&mut shop, other_key, "undecodable").await;
    let garbage = message(
        topic::STOCK,
        &an_id().to_string(),
        "shop.stock.v1.StockReserved",
        1,
        vec![1, 2, 3],
    );
    stops(&mut shop, garbage, "undecodable").await;

    let messages = [shop.captured(other)];
    shop.hear(messages).await;
    assert_eq!(shop.status(other).await, "paid");
}

#[tokio::test]
async fn a_hundred_orders_and_their_answers_share_batches() {
    let mut shop = a_shop().await;
    let mut orders = Vec::new();
    for _ in 0..100 {
        orders.push(shop.place(Method::Wallet).await);
    }
    let mut messages = Vec::new();
    for order in orders.iter().rev() {
        messages.push(shop.reserved(*order));
        messages.push(shop.captured(*order));
    }

    assert_eq!(shop.mailbox.hear(messages).await, 0);

    for order in orders {
        assert_eq!(shop.status(order).await, "confirmed");
    }
    assert_eq!(shop.count("order_events").await, 400);
    assert_eq!(shop.tell(asked(an_id(), Method::Wallet)).await.status, 201);
}

#[tokio::test]
async fn what_has_no_version_parks_and_changes_nothing() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    let mut reserved = shop.reserved(order);
    reserved.version = 0;

    assert_eq!(shop.mailbox.hear(vec![reserved]).await, 1, "it is parked");

    assert_eq!(shop.status(order).await, "pending");
    let class: String = sqlx::query_scalar("select class from parked_keys")
        .fetch_one(shop.db().await)
        .await
        .unwrap();
    assert_eq!(class, "no_envelope");
    assert_eq!(
        store::order_events::of_order(shop.db().await, order, 0, 10).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_capture_that_is_not_the_total_is_cancelled_and_never_stays_paid() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    let captured = payments::PaymentCaptured {
        order_id: order.to_string(),
        payment_id: super::PAYMENT.to_owned(),
        customer_id: "customer-456".to_owned(),
        revision: 1,
        amount: Some(dollars(9, 0)),
        ..Default::default()
    };
    let captured = shop.said(order, captured);

    shop.hear([captured]).await;

    assert_eq!(shop.status(order).await, "cancelled");
    assert_eq!(shop.names(order).await, ["OrderPlaced", "OrderCancelled"]);
}
