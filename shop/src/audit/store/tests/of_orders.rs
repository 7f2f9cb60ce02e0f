//! Order-svc's tables.

use super::*;
use proto::{
    Event,
    money::Money,
    orders::{
        AmendmentCause, Line, OrderAmended, OrderAwaitingPayment, OrderPlaced, PaymentMethod, Terms,
    },
    stock::StockReserved,
};

use crate::audit::{history::Walk, interventions::Interventions, tag};

/// An event as the history stores it, in the form of a literal.
fn payload(event: impl Into<Event>) -> String {
    let bytes = crate::audit::content::in_history(event.into());
    bytes.iter().fold("'\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")) + "'"
}

async fn some_orders() -> Tables {
    let mut tables = Tables::of(ORDERS).await;
    let usd = |units, nanos| Some(Money { currency_code: "USD".to_owned(), units, nanos });
    let line = Line {
        line: 1,
        sku: "mug".to_owned(),
        name: "Mug".to_owned(),
        quantity: 2,
        unit_price: usd(29, 990_000_000),
    };
    let method = PaymentMethod::Deferred.into();
    let placed = payload(OrderPlaced {
        revision: 1,
        lines: vec![line],
        total: usd(59, 980_000_000),
        terms: Some(Terms { method, ..Terms::default() }),
        pay_within_seconds: 900,
        ..OrderPlaced::default()
    });
    let reserved = payload(StockReserved { revision: 1, ..StockReserved::default() });
    let asked = payload(OrderAwaitingPayment { revision: 1, ..OrderAwaitingPayment::default() });
    let rows = format!(
        r#"select make_week('order_events', 2863);
            insert into orders (
                order_id, customer_id, status, revision, version, events, method, currency, total, lines,
                placed_at, updated_at, revised_at, reserved_revision, reserved_at, pay_within, heard_stock
            )
            values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'payment_pending', 1, 2, 3, 'deferred', 'USD', 59.98,
                '[{{"sku": "mug", "name": "Mug", "quantity": 2, "unit_price": "29.99"}}]', now(), now(), now(), 1, now(), 900, 1);
            insert into order_deadlines (due_at, order_id)
            values (now() + interval '15 minutes', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f');
            insert into order_events (order_id, seq, event_id, type, version, at, payload)
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, gen_random_uuid(), 1, 1, now(), {placed}),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 2, gen_random_uuid(), 41, 1, now(), {reserved}),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 3, gen_random_uuid(), 2, 2, now(), {asked});"#
    );
    tables.run(rows.leak()).await;
    tables
}

/// Amends the order: one mug instead of two, with an event that says `cause`.
fn amendment(cause: AmendmentCause) -> &'static str {
    let usd = |units, nanos| Some(Money { currency_code: "USD".to_owned(), units, nanos });
    let line = Line {
        line: 1,
        sku: "mug".to_owned(),
        name: "Mug".to_owned(),
        quantity: 1,
        unit_price: usd(29, 990_000_000),
    };
    let amended = payload(OrderAmended {
        revision: 2,
        lines: vec![line],
        total: usd(29, 990_000_000),
        cause: cause.into(),
        ..OrderAmended::default()
    });
    let text = format!(
        r#"insert into order_revisions (order_id, revision, total, lines, revised_at)
        select order_id, revision, total, lines, revised_at from orders;
        delete from order_deadlines;
        update orders
        set revision = 2, version = 3, events = 4, status = 'pending', total = 29.99, cause = 'requested', revised_at = now(),
            lines = '[{{"sku": "mug", "name": "Mug", "quantity": 1, "unit_price": "29.99"}}]';
        insert into order_events (order_id, seq, event_id, type, version, at, payload)
        values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 4, gen_random_uuid(), 5, 3, now(), {amended})"#
    );
    text.leak()
}

/// Reads orders and histories, and returns whether they fit.
async fn has_a_good_history(tables: &mut Tables) -> bool {
    let (mut orders, mut checks, interventions) =
        (Orders::default(), Checks::default(), Interventions::default());
    orders::orders(&mut tables.db, None, &mut orders).await.unwrap();
    let states = u64::try_from(orders.len()).unwrap();
    let mut walk = Walk::new(&mut orders, &mut checks, &interventions, crate::audit::now());
    orders::history(&mut tables.db, None, |row| walk.row(row)).await.unwrap();
    walk.finish(states);
    checks.get(Promise::HistoryAgrees).ok
}

#[tokio::test]
async fn histories_that_are_not_their_orders_are_found() {
    let mut tables = some_orders().await;
    assert!(has_a_good_history(&mut tables).await);
    for change in [
        "delete from order_events where seq = 3",
        "delete from order_events where seq = 2",
        "update order_events set version = 3 where seq = 3",
        "update order_events set type = 21 where seq = 2",
        "update order_events set at = '2020-01-01' where seq = 2",
        "update order_events set at = now() + interval '1 day' where seq = 2",
        // The same row twice, and rows in an order that is impossible.
        "insert into order_events select order_id, 4, event_id, type, version, at, payload from order_events where seq = 3;
        update orders set events = 4",
        "update order_events set seq = 9 where seq = 2; update order_events set seq = 2 where seq = 3;
        update order_events set seq = 3 where seq = 9",
        "update orders set heard_stock = 2",
        "update orders set events = 4",
        "delete from orders",
        "delete from order_events",
        // Orders that are not what their histories come to.
        "update orders set pay_within = 60",
        "update orders set reserved_at = reserved_at - interval '1 second'",
        "update orders set revised_at = revised_at - interval '1 second'",
        r#"update orders set lines = '[{"sku": "mug", "name": "Mug", "quantity": 1, "unit_price": "29.99"}]'"#,
        "update orders set payment_id = gen_random_uuid(), captured_revision = 1, captured = 59.98, captured_at = now()",
        "update orders set carrier = 'post', tracking_number = '1', shipped_at = now()",
        amendment(AmendmentCause::StockRejected),
    ] {
        tables.run("begin").await;
        tables.run(change).await;
        assert!(!has_a_good_history(&mut tables).await, "{change}");
        tables.run("rollback").await;
    }
}

#[tokio::test]
async fn an_amended_order_is_what_its_history_comes_to() {
    let mut tables = some_orders().await;
    tables.run(amendment(AmendmentCause::Requested)).await;

    assert!(has_a_good_history(&mut tables).await);
    let found = orders::sums(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from order_revisions",
        "update order_revisions set total = 59.97",
        "update orders set status = 'payment_pending'",
    ] {
        assert_eq!(wrong_after!(tables, orders::sums, change), 1, "{change}");
    }
    let mut read = Orders::default();
    orders::orders(&mut tables.db, None, &mut read).await.unwrap();
    let foretold = read.of(id()).order.unwrap().foretold;
    assert!(foretold[tag::PLACED] != 0 && foretold[tag::AMENDED] != 0);
}

#[tokio::test]
async fn sums_statuses_and_reasons_that_do_not_follow_are_found() {
    let mut tables = some_orders().await;
    let found = orders::sums(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    let cancelled = "update orders set status = 'cancelled', cancelled_at = now(), cancel_detail = '', cancel_reason = ";
    for change in [
        "update orders set total = 59.97".to_owned(),
        r#"update orders set lines = '[{"sku": "mug", "name": "Mug", "quantity": 2, "unit_price": "29.98"}]'"#.to_owned(),
        "update orders set status = 'pending'".to_owned(),
        "update orders set captured_revision = 1, captured = 59.98, captured_at = now()".to_owned(),
        format!("{cancelled} 'insufficient_inventory'"),
        format!("{cancelled} 'payment_declined'"),
        format!("{cancelled} 'payment_timeout', reserved_at = now()"),
        format!("{cancelled} 'reservation_expired'"),
        format!("{cancelled} 'customer_request'"),
    ] {
        let change: &'static str = change.leak();
        assert_eq!(wrong_after!(tables, orders::sums, change), 1, "{change}");
    }
    for change in [
        format!("{cancelled} 'payment_timeout', reserved_at = now() - interval '1 hour'"),
        format!("{cancelled} 'customer_request', cancelled_by = 'ann'"),
    ] {
        let change: &'static str = change.leak();
        assert_eq!(wrong_after!(tables, orders::sums, change), 0, "{change}");
    }
}

#[tokio::test]
async fn orders_that_were_promised_and_are_not_there_are_found() {
    let mut tables = some_orders().await;
    tables
        .run(
            r#"insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
            values ('ann', 'POST /v1/orders', 'k', '', 201, '{}',
                convert_to('{"id": "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f"}', 'UTF8'))"#,
        )
        .await;
    let found = orders::answers(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    // An answer of which the erasure of a customer has left the key alone says nothing.
    tables
        .run(
            "insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
            values ('ann', 'POST /v1/orders', 'erased', '', 201, '{}', '{}')",
        )
        .await;
    let found = orders::answers(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    assert_eq!(wrong_after!(tables, orders::answers, "delete from orders"), 1);
}

#[tokio::test]
async fn keys_that_made_two_orders_within_a_day_are_found() {
    let mut tables = some_orders().await;
    tables.run("update orders set request_digest = 'a digest'").await;
    let found = orders::keys(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for (pause, wrong) in [("1 second", 1), ("25 hours", 0)] {
        let again = format!(
            "create temporary table again as select * from orders;
            update again set order_id = gen_random_uuid(), placed_at = placed_at + interval '{pause}';
            insert into orders select * from again"
        );
        assert_eq!(wrong_after!(tables, orders::keys, again.leak()), wrong, "{pause}");
    }
}

#[tokio::test]
async fn deadlines_that_do_not_fit_are_found() {
    let mut tables = some_orders().await;
    let found = orders::deadlines(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from order_deadlines",
        "update orders set pay_within = 60",
        "update orders set status = 'cancelled', cancelled_at = now(), cancel_reason = 'customer_request', cancel_detail = ''",
        "insert into order_deadlines (due_at, order_id) values (now(), gen_random_uuid())",
    ] {
        assert_eq!(wrong_after!(tables, orders::deadlines, change), 1, "{change}");
    }
}

#[tokio::test]
async fn orders_are_read_with_their_ending() {
    let mut tables = some_orders().await;
    let mut read = Orders::default();
    orders::orders(&mut tables.db, None, &mut read).await.unwrap();
    let order = read.of(id()).order.unwrap();
    assert_eq!((order.ending, order.total.sum, order.due_at > 0), (OrderEnd::Open, 599_800, true));
    assert_eq!((order.version, order.heard, order.events), (2, [1, 0, 0], 3));
    assert_eq!(*read.of(8), Facts::default());
}
