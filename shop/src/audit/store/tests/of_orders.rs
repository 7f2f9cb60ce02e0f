//! Order-svc's tables.

use super::*;
use crate::audit::{history::Walk, interventions::Interventions};

async fn some_orders() -> Tables {
    let mut tables = Tables::of(ORDERS).await;
    tables
        .run(
            r#"select make_week('order_events', 2863);
            insert into orders (
                order_id, customer_id, status, revision, version, events, method, currency, total, lines, note,
                placed_at, updated_at, reserved_revision, reserved_at, pay_within, pay_by, heard_stock
            )
            values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'payment_pending', 1, 2, 3, 'deferred', 'USD', 59.98,
                '[{"sku": "mug", "name": "Mug", "quantity": 2, "unit_price": "29.99"}]', '', now(), now(), 1, now(), 900, '2026-11-20', 1);
            insert into order_deadlines (due_at, order_id) values ('2026-11-20', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f');
            insert into order_events (order_id, seq, event_id, type, version, at, payload)
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, gen_random_uuid(), 1, 1, now(), ''),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 2, gen_random_uuid(), 41, 1, now(), ''),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 3, gen_random_uuid(), 2, 2, now(), '');"#,
        )
        .await;
    tables
}

/// Reads orders and histories, and returns whether they fit.
async fn has_a_good_history(tables: &mut Tables) -> bool {
    let (mut orders, mut checks, interventions) =
        (Orders::default(), Checks::default(), Interventions::default());
    let mut states = 0;
    let mut each = |_, _| states += 1;
    orders::orders(&mut tables.db, None, &mut orders, &mut each).await.unwrap();
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
    ] {
        tables.run("begin").await;
        tables.run(change).await;
        assert!(!has_a_good_history(&mut tables).await, "{change}");
        tables.run("rollback").await;
    }
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
        format!("{cancelled} 'payment_timeout', pay_by = now() + interval '1 hour'"),
        format!("{cancelled} 'reservation_expired'"),
        format!("{cancelled} 'customer_request'"),
    ] {
        let change: &'static str = change.leak();
        assert_eq!(wrong_after!(tables, orders::sums, change), 1, "{change}");
    }
    for change in [
        format!("{cancelled} 'payment_timeout', pay_by = now()"),
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
    assert_eq!(wrong_after!(tables, orders::answers, "delete from orders"), 1);
}

#[tokio::test]
async fn deadlines_that_do_not_fit_are_found() {
    let mut tables = some_orders().await;
    let found = orders::deadlines(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from order_deadlines",
        "update orders set pay_by = '2027-01-01'",
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
    orders::orders(&mut tables.db, None, &mut read, &mut |_, _| {}).await.unwrap();
    let order = read.of(id()).order.unwrap();
    assert_eq!((order.ending, order.total.sum, order.due_at > 0), (OrderEnd::Open, 599_800, true));
    assert_eq!((order.version, order.heard, order.events), (2, [1, 0, 0], 3));
    assert_eq!(*read.of(8), Facts::default());
}
