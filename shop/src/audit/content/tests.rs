//! The number of a row is that of its event, and of no other event.

use proto::{
    orders::{OrderCancelled, OrderConfirmed, OrderPlaced, Terms},
    stock::StockReserved,
};

use super::*;

fn usd(units: i64, nanos: i32) -> Money {
    Money { currency_code: "USD".into(), units, nanos }
}

fn line() -> Line {
    let (sku, name) = ("mug".into(), "Mug".into());
    Line { line: 1, sku, name, quantity: 2, unit_price: Some(usd(29, 990_000_000)) }
}

fn row() -> LineRow {
    let (sku, name) = (Some("mug".into()), "Mug".into());
    LineRow { sku, name, quantity: 2, unit_price: "29.99".parse().unwrap() }
}

fn confirmed() -> OrderConfirmed {
    OrderConfirmed {
        order_id: "7".into(),
        customer_id: "ann".into(),
        revision: 1,
        total: Some(usd(59, 980_000_000)),
        lines: vec![line()],
    }
}

#[test]
fn an_order_foretells_its_events() {
    let total = Amount::new(599_800, "USD");
    let foretold = ordered("ann", 1, total, lines_of(&[row()], "USD"));
    assert_eq!((of(&confirmed().into()), terms_of(&confirmed().into())), (foretold, 0));
    let others = [
        OrderConfirmed { customer_id: "bob".into(), ..confirmed() },
        OrderConfirmed { revision: 2, ..confirmed() },
        OrderConfirmed { total: Some(usd(59, 990_000_000)), ..confirmed() },
        OrderConfirmed { lines: vec![Line { quantity: 3, ..line() }], ..confirmed() },
        OrderConfirmed { lines: vec![Line { sku: "cup".into(), ..line() }], ..confirmed() },
        OrderConfirmed {
            lines: vec![Line { unit_price: Some(usd(29, 0)), ..line() }],
            ..confirmed()
        },
        OrderConfirmed { lines: Vec::new(), ..confirmed() },
    ];
    for other in others {
        assert_ne!(of(&other.clone().into()), foretold, "{other:?}");
    }
}

#[test]
fn a_cancellation_says_why_but_its_words_may_be_erased() {
    let total = Amount::new(599_800, "USD");
    let said = |reason: CancelReason, detail: &str| OrderCancelled {
        customer_id: "ann".into(),
        revision: 1,
        reason: reason.into(),
        detail: detail.into(),
        total: Some(usd(59, 980_000_000)),
        ..OrderCancelled::default()
    };
    let foretold = cancelled("ann", 1, total, "payment_declined");
    assert_eq!(of(&said(CancelReason::PaymentDeclined, "no").into()), foretold);
    assert_eq!(of(&said(CancelReason::PaymentDeclined, "").into()), foretold);
    assert_ne!(of(&said(CancelReason::PaymentTimeout, "").into()), foretold);
}

#[test]
fn stock_passes_the_terms_on() {
    let terms = Terms {
        customer_id: "ann".into(),
        amount: Some(usd(59, 980_000_000)),
        method: PaymentMethod::Wallet.into(),
        details: None,
    };
    let line = |sku: &str, quantity| Line { sku: sku.into(), quantity, ..Line::default() };
    let lines = vec![line("mug", 3), line("", 1)];
    let (of_order, revision) = (Some(terms.clone()), 1);
    let placed = OrderPlaced { revision, lines, terms: of_order, ..OrderPlaced::default() };
    let allocated = |warehouse: &str, quantity| {
        let (sku, warehouse) = ("mug".into(), warehouse.into());
        Allocation { sku, warehouse, quantity }
    };
    let lines = vec![allocated("far", 1), allocated("main", 2)];
    let kept = StockReserved { terms: Some(terms), revision, lines, ..StockReserved::default() };
    let mugs = basket([("mug", 3)].into_iter());
    let foretold = super::terms(1, mugs, "ann", Amount::new(599_800, "USD"), "wallet");
    assert_eq!([terms_of(&placed.into()), terms_of(&kept.clone().into())], [foretold; 2]);
    for other in [
        StockReserved { terms: None, ..kept.clone() },
        StockReserved { revision: 2, ..kept.clone() },
        StockReserved { lines: vec![allocated("main", 2)], ..kept },
    ] {
        assert!(![0, foretold].contains(&terms_of(&other.clone().into())), "{other:?}");
    }
}

#[test]
fn pieces_are_summed_over_lines_and_warehouses() {
    let once = basket([("mug", 3), ("cup", 1)].into_iter());
    assert_eq!(basket([("cup", 1), ("mug", 1), ("mug", 2)].into_iter()), once);
    assert_ne!(basket([("mug", 3)].into_iter()), once);
    assert_ne!(basket([("mug", 1), ("cup", 3)].into_iter()), once);
}

#[test]
fn a_history_keeps_neither_ids_nor_terms() {
    let mut bare = confirmed();
    (bare.order_id, bare.customer_id) = (String::new(), String::new());
    assert_eq!(in_history(confirmed().into()), Event::from(bare).encode());
}
