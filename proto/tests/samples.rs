//! One event of every type, with every field set.

use proto::{
    Currency, Event, Money, catalogue::ProductChanged, notifications::*, orders::*, payments::*,
    stock::*,
};

pub(crate) const ORDER: &str = "01932c1e-7b5a-7c3d-8e4f-0123456789ab";
const OTHER: &str = "01932c1e-7b5b-7000-8000-0123456789ab";
const CUSTOMER: &str = "customer-456";

pub(crate) fn money(text: &str) -> proto::money::Money {
    Money::parse(text, Currency::USD).unwrap().into()
}

fn lines() -> Vec<Line> {
    vec![
        Line {
            line: 1,
            sku: "product-123".into(),
            name: "Blue mug".into(),
            quantity: 2,
            unit_price: Some(money("29.99")),
        },
        Line {
            line: 2,
            sku: String::new(),
            name: "gift wrap".into(),
            quantity: 1,
            unit_price: Some(money("5.00")),
        },
    ]
}

fn terms() -> Terms {
    Terms {
        customer_id: CUSTOMER.into(),
        amount: Some(money("64.98")),
        method: PaymentMethod::Card.into(),
        details: Some(Sealed {
            key_id: "0a1b2c3d".into(),
            nonce: vec![7; 12],
            ciphertext: vec![1, 2, 3, 255],
        }),
    }
}

fn allocations() -> Vec<Allocation> {
    vec![Allocation { sku: "product-123".into(), warehouse: "main".into(), quantity: 2 }]
}

/// Every event, in the order of the registry.
pub(crate) fn all() -> Vec<Event> {
    [orders(), payments(), stock(), others()].concat()
}

fn orders() -> Vec<Event> {
    let (order_id, customer_id) = (ORDER.to_owned(), CUSTOMER.to_owned());
    vec![
        OrderPlaced {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            lines: lines(),
            total: Some(money("64.98")),
            terms: Some(terms()),
            pay_within_seconds: 900,
        }
        .into(),
        OrderAwaitingPayment {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            amount: Some(money("64.98")),
            pay_by: "2026-11-20T10:15:00.000000Z".into(),
        }
        .into(),
        OrderConfirmed {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            total: Some(money("64.98")),
            lines: lines(),
        }
        .into(),
        OrderCancelled {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            reason: CancelReason::PaymentDeclined.into(),
            detail: "card_declined".into(),
            by: CUSTOMER.into(),
            total: Some(money("64.98")),
        }
        .into(),
        OrderAmended {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            revision: 2,
            lines: lines(),
            total: Some(money("64.98")),
            terms: Some(terms()),
            pay_within_seconds: 900,
            cause: AmendmentCause::CapturedFirst.into(),
        }
        .into(),
        OrderShipped {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            carrier: "post".into(),
            tracking_number: "T-1".into(),
            revision: 2,
        }
        .into(),
        OrderDelivered { order_id, customer_id, revision: 2 }.into(),
    ]
}

fn payments() -> Vec<Event> {
    let (order_id, customer_id) = (ORDER.to_owned(), CUSTOMER.to_owned());
    let payment_id = OTHER.to_owned();
    vec![
        PaymentCaptured {
            order_id: order_id.clone(),
            payment_id: payment_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            amount: Some(money("64.98")),
            method: PaymentMethod::Wallet.into(),
        }
        .into(),
        PaymentDeclined {
            order_id: order_id.clone(),
            payment_id: payment_id.clone(),
            customer_id: customer_id.clone(),
            revision: 1,
            amount: Some(money("64.98")),
            code: DeclineCode::InsufficientFunds.into(),
            detail: "balance 3.00 USD".into(),
        }
        .into(),
        PaymentVoided { order_id: order_id.clone(), payment_id: payment_id.clone(), revision: 1 }
            .into(),
        PaymentRefunded {
            order_id: order_id.clone(),
            payment_id: payment_id.clone(),
            customer_id: customer_id.clone(),
            amount: Some(money("64.98")),
            cause: RefundCause::OrderCancelled.into(),
            revision: 1,
            refund_id: OTHER.into(),
        }
        .into(),
        RefundRefused {
            order_id,
            payment_id,
            customer_id,
            amount: Some(money("10.00")),
            cause: RefundCause::Staff.into(),
            revision: 1,
            refund_id: OTHER.into(),
            detail: "charge disputed".into(),
        }
        .into(),
    ]
}

fn stock() -> Vec<Event> {
    let order_id = ORDER.to_owned();
    let missing = vec![Shortage { sku: "product-789".into(), wanted: 1000, available: 12 }];
    vec![
        StockReserved {
            order_id: order_id.clone(),
            reservation_id: OTHER.into(),
            revision: 1,
            lines: allocations(),
            terms: Some(terms()),
        }
        .into(),
        StockRejected { order_id: order_id.clone(), revision: 1, missing }.into(),
        StockReleased { order_id: order_id.clone(), lines: allocations(), revision: 1 }.into(),
        ReservationExpired { order_id, revision: 1 }.into(),
    ]
}

fn others() -> Vec<Event> {
    let (order_id, notification_id) = (ORDER.to_owned(), OTHER.to_owned());
    let (channel, template) = ("email".to_owned(), "order_confirmation".to_owned());
    vec![
        NotificationSent {
            order_id: order_id.clone(),
            notification_id: notification_id.clone(),
            channel: channel.clone(),
            template: template.clone(),
            revision: 1,
        }
        .into(),
        NotificationFailed {
            order_id,
            notification_id,
            channel,
            template,
            failure: "no_address".into(),
            revision: 1,
        }
        .into(),
        ProductChanged {
            sku: "product-123".into(),
            name: "Blue mug".into(),
            price: Some(money("29.99")),
            available: 1200,
            version: 3,
        }
        .into(),
    ]
}
