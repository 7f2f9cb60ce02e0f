//! The stored history of orders: whoever folds it gets the order again.

use std::sync::Arc;

use mailbox::testing::{Fixture, message};
use order_svc::{
    domain::{Cancellation, Conclusion, HistoryEvent, Line, Method, Order, Reason, fold},
    input::Input,
    store, wire,
    world::HistoryRow,
};
use proto::{
    Event, EventType, Money, OrderId, Sku, orders,
    orders::{PaymentMethod, order_event::Event as Said},
    payments, stock,
};
use time::{Duration, OffsetDateTime};

use super::{PAYMENT, Shop, a_shop, later, reactor, usd};

/// Lives of orders, in the words that `meet` understands.
const LIVES: [&[&str]; 9] = [
    &["reserved", "captured", "notified"],
    &["captured", "reserved", "not notified", "cancel", "refunded", "released"],
    &["reserved", "declined", "released", "voided"],
    &["rejected", "voided", "released"],
    &["reserved", "expired", "voided", "released"],
    &["reserved", "deadline", "captured", "refunded", "released"],
    &["cancel", "cancel", "voided", "released", "reserved"],
    &["reserved", "too little", "refunded", "released"],
    &["reserved", "refunded by staff"],
];

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
        "rejected" => shop.rejected(order),
        "released" => shop.released(order),
        "captured" => shop.said(order, captured("59.98")),
        "too little" => shop.said(order, captured("9.98")),
        "declined" => shop.declined(order),
        "refunded" => shop.refunded(order),
        "notified" => shop.notified(order),
        "expired" => shop.said(order, stock::ReservationExpired { order_id, revision: 1 }),
        "voided" => {
            let payment_id = PAYMENT.to_owned();
            shop.said(order, payments::PaymentVoided { order_id, payment_id, revision: 1 })
        }
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
        "cancel" => {
            shop.cancel(order).await;
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

/// What a row says about the order; `None` for the first row, which is the order as it was placed.
fn read(order: &Order, row: &HistoryRow) -> Option<HistoryEvent> {
    let EventType { topic, .. } = *EventType::numbered(row.event_type).unwrap();
    let event = wire::decode_history(order, topic, &row.payload).unwrap();
    let conclusion = match &event {
        Event::Orders(Said::OrderPlaced(_)) => return None,
        Event::Orders(Said::OrderAwaitingPayment(_)) => Conclusion::AwaitingPayment,
        Event::Orders(Said::OrderConfirmed(_)) => Conclusion::Confirmed,
        Event::Orders(Said::OrderCancelled(it)) => Conclusion::Cancelled(cancellation(it, row.at)),
        _ => {
            let (key, name) = (order.id.to_string(), event.event_type().full_name());
            let message = message(topic, &key, &name, row.version, event.encode());
            let Input::Heard(fact) = wire::decode(&message).unwrap().unwrap() else {
                unreachable!("{name} is about an order")
            };
            return Some(HistoryEvent::Heard(fact.event));
        }
    };
    Some(HistoryEvent::Said(conclusion))
}

fn cancellation(said: &orders::OrderCancelled, at: OffsetDateTime) -> Cancellation {
    let reason = said.reason().as_str_name().to_lowercase();
    let reason = Reason::parse(reason.trim_start_matches("cancel_reason_")).unwrap();
    let by = (!said.by.is_empty()).then(|| said.by.as_str().into());
    Cancellation { reason, detail: said.detail.as_str().into(), by, at }
}

/// The order as it was placed. Its first row says everything of it but id and customer.
fn placed(order: &Order, row: &HistoryRow) -> Order {
    let event = wire::decode_history(order, proto::topic::ORDERS, &row.payload).unwrap();
    let Event::Orders(Said::OrderPlaced(it)) = event else {
        unreachable!("it begins with what was placed")
    };
    let money = |wire: Option<proto::money::Money>| Money::try_from(wire.unwrap()).unwrap();
    let line = |line: orders::Line| Line {
        sku: (!line.sku.is_empty()).then(|| Sku::parse(&line.sku).unwrap()),
        name: line.name.as_str().into(),
        quantity: line.quantity,
        unit_price: money(line.unit_price),
    };
    let method = it.terms.unwrap().method().as_str_name().to_lowercase();
    Order {
        id: order.id,
        customer: order.customer.clone(),
        lines: it.lines.into_iter().map(line).collect(),
        total: money(it.total),
        method: Method::parse(method.trim_start_matches("payment_method_")).unwrap(),
        note: Arc::clone(&order.note),
        placed_at: row.at,
        updated_at: row.at,
        revision: it.revision,
        version: row.version,
        stock: order_svc::domain::Stock::default(),
        payment: order_svc::domain::Payment::default(),
        confirmed_at: None,
        cancellation: None,
        pay_within: Duration::seconds(it.pay_within_seconds.into()),
        pay_by: None,
        notified: None,
    }
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
            let start = placed(&order, &rows[0]);
            let history = rows.iter().filter_map(|row| Some((read(&order, row)?, row.at)));
            let folded = fold(&start, history);

            assert_eq!(folded, order, "{method:?}, then {life:?}");
        }
    }
}
