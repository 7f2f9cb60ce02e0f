//! The stored history of orders: whoever folds it gets the order again.

use std::sync::Arc;

use mailbox::testing::Fixture;
use order_svc::{
    domain::{Method, Order, fold},
    input::{Change, Input},
    store, wire,
    world::HistoryRow,
};
use proto::{EventType, OrderId, orders::PaymentMethod, payments, stock};

use super::{PAYMENT, Shop, a_shop, later, reactor, usd};

/// Lives of orders, in the words that `meet` understands.
const LIVES: [&[&str]; 17] = [
    &["reserved", "captured", "notified"],
    &["captured", "reserved", "not notified", "cancel", "refunded", "released"],
    &["reserved", "declined", "released", "voided"],
    &["rejected", "voided", "released"],
    &["reserved", "expired", "voided", "released"],
    &["reserved", "deadline", "captured", "refunded", "released"],
    &["cancel", "cancel", "voided", "released", "reserved"],
    &["reserved", "too little", "refunded", "released"],
    &["reserved", "refunded by staff"],
    &["reserved", "captured", "ship", "deliver", "notified"],
    &["reserved", "captured", "cancel", "refund refused", "released"],
    &["one", "reserved", "reserved 2", "captured 2"],
    &["reserved", "one", "rejected 2", "reserved 3", "declined 3", "voided", "released"],
    &["reserved", "one", "captured", "reserved 2", "reserved 3"],
    &["reserved", "two", "captured", "reserved 2"],
    &["one", "rejected", "two", "rejected 3"],
    &["reserved", "one", "reserved 2"],
];

/// Asks for something; returns the status of the answer.
async fn ask(shop: &mut Shop, order: OrderId, what: &str) -> u16 {
    let answer = match what {
        "cancel" => shop.cancel(order).await,
        "one" => shop.amend(order, 1).await,
        "two" => shop.amend(order, 2).await,
        "ship" => shop.ship(order).await,
        _ => shop.change(order, Change::Deliver).await,
    };
    answer.status
}

/// Lets one thing happen to an order.
async fn meet(shop: &mut Shop, order: OrderId, method: PaymentMethod, what: &str) {
    let order_id = order.to_string();
    let captured = |amount: &str| payments::PaymentCaptured {
        order_id: order.to_string(),
        payment_id: PAYMENT.to_owned(),
        customer_id: "customer-456".to_owned(),
        revision: 1,
        amount: Some(usd(amount).into()),
        method: method.into(),
    };
    let message = match what {
        "reserved" => shop.reserved(order),
        "reserved 2" => shop.reserved_as(order, 2),
        "reserved 3" => shop.reserved_as(order, 3),
        "rejected 2" => shop.rejected_as(order, 2),
        "rejected 3" => shop.rejected_as(order, 3),
        "declined 3" => shop.declined_as(order, 3),
        "captured 2" => shop.captured_as(order, 2),
        "refund refused" => {
            let refused = payments::RefundRefused {
                order_id,
                amount: Some(usd("59.98").into()),
                cause: payments::RefundCause::OrderCancelled.into(),
                ..Default::default()
            };
            shop.said(order, refused)
        }
        "rejected" => shop.rejected(order),
        "released" => shop.released(order),
        "captured" => shop.said(order, captured("59.98")),
        "too little" => shop.said(order, captured("9.98")),
        "declined" => shop.declined(order),
        "refunded" => shop.refunded(order),
        "notified" => shop.notified(order),
        "expired" => shop.said(order, stock::ReservationExpired { order_id, revision: 1 }),
        "voided" => shop.voided(order),
        "refunded by staff" => {
            let refunded = payments::PaymentRefunded {
                order_id,
                amount: Some(usd("1").into()),
                cause: payments::RefundCause::Staff.into(),
                ..Default::default()
            };
            shop.said(order, refunded)
        }
        "not notified" => {
            let failed = proto::notifications::NotificationFailed {
                order_id,
                template: "order_confirmation".to_owned(),
                failure: "no such mailbox".to_owned(),
                ..Default::default()
            };
            shop.said(order, failed)
        }
        "cancel" | "one" | "two" | "ship" | "deliver" => {
            assert_eq!(ask(shop, order, what).await, 200, "{what}");
            return;
        }
        _ => {
            assert_eq!(what, "deadline");
            let reactor = Arc::new(reactor(&shop.waiters));
            let mut sweep = Fixture::new(&shop.database.url(), reactor, later);
            sweep.tell(Input::DeadlinePassed(order)).await;
            return;
        }
    };
    shop.hear([message]).await;
}

/// The order to which the rows of its history lead.
fn folded(order: &Order, rows: &[HistoryRow]) -> Order {
    let event = |row: &HistoryRow| {
        let EventType { topic, .. } = *EventType::numbered(row.event_type).unwrap();
        wire::decode_history(order, topic, &row.payload).unwrap()
    };
    let (first, rest) = rows.split_first().unwrap();
    let whose = (order.id, order.customer.clone());
    let start = wire::placed_order(whose, &event(first), first.at).unwrap();
    fold(&start, rest.iter().map(|row| (wire::history_event(&event(row), row.at).unwrap(), row.at)))
}

#[tokio::test]
async fn an_order_is_the_fold_of_the_rows_of_its_history() {
    let mut shop = a_shop().await;
    let methods = [
        (Method::Wallet, PaymentMethod::Wallet),
        (Method::Card, PaymentMethod::Card),
        (Method::Deferred, PaymentMethod::Wallet),
        (Method::Deferred, PaymentMethod::Card),
    ];
    for (method, paid_with) in methods {
        for life in LIVES {
            let id = shop.place(method).await;
            for what in life {
                meet(&mut shop, id, paid_with, what).await;
            }

            let order = shop.order(id).await.order;
            let rows = store::order_events::of_order(shop.db().await, id, 0, 50).await.unwrap();
            let folded = folded(&order, &rows);

            assert_eq!(folded, order, "{method:?}, then {life:?}");
        }
    }
}
