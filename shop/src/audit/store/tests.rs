//! Every statement on a real database: what is well is found well, and each planted fault is found.

use backends::testing::TestDatabase;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::audit::facts::{Ending, Facts, Hold, Undoing};

const MAILBOX: &str = include_str!("../../../migrations/0001_mailbox.sql");
const ORDERS: &str = include_str!("../../../migrations/0101_orders.sql");
const PAYMENTS: &str = include_str!("../../../migrations/0101_payments.sql");
const NOTICES: &str = include_str!("../../../migrations/0101_notices.sql");
const STOCK: &str = include_str!("../../../migrations/0101_stock.sql");

const ID: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

/// A database with one service's tables.
struct Tables {
    db: PgConnection,
    _database: TestDatabase,
}

impl Tables {
    async fn of(migration: &'static str) -> Self {
        let database = backends::testing::database().await;
        let db = PgConnection::connect(&database.url()).await.unwrap();
        let mut tables = Self { db, _database: database };
        tables.run(MAILBOX).await;
        tables.run(migration).await;
        tables
    }

    async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.db).await.unwrap();
    }
}

/// Runs a change that breaks something, and says how many a check then finds wrong.
macro_rules! wrong_after {
    ($tables:expr, $check:path, $change:expr) => {{
        $tables.run("begin").await;
        $tables.run($change).await;
        let found = $check(&mut $tables.db).await.unwrap();
        $tables.run("rollback").await;
        assert_eq!(found.wrong > 0, found.first.is_some());
        found.wrong
    }};
}

fn id() -> u128 {
    Uuid::parse_str(ID).unwrap().as_u128()
}

async fn some_stock() -> Tables {
    let mut tables = Tables::of(STOCK).await;
    tables
        .run(
            r#"insert into products (sku, name, price, currency, version, said_available) values ('mug', 'Mug', 5, 'USD', 1, 9);
            insert into stock (sku, warehouse_id, on_hand, reserved, sold) values ('mug', 'main', 8, 3, 2);
            insert into stock_adjustments (adjustment_id, sku, warehouse_id, delta, reason, at)
            values (gen_random_uuid(), 'mug', 'main', 11, 'received', now()), (gen_random_uuid(), 'mug', 'main', -1, 'lost', now());
            insert into reservations (reservation_id, version, heard_orders, revision, status, expired, expires_at, allocations)
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, 1, 1, 'held', false, '2026-11-20', '[{"sku":"mug","warehouse":"main","quantity":3}]'),
                ('01932c1e-5a4b-7c3d-8e2f-000000000002', 1, 2, 1, 'sold', false, null, '[{"sku":"mug","warehouse":"main","quantity":2}]'),
                ('01932c1e-5a4b-7c3d-8e2f-000000000003', 2, 2, 1, 'released', false, null, '[{"sku":"mug","warehouse":"main","quantity":7}]');
            insert into reservation_waits (expires_at, reservation_id) values ('2026-11-20', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f');"#,
        )
        .await;
    tables
}

#[tokio::test]
async fn shelves_that_do_not_add_up_are_found() {
    let mut tables = some_stock().await;
    let found = stock::shelves(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "update stock set on_hand = 9",
        "update stock set reserved = 2",
        "update stock set sold = 3",
        "update reservations set status = 'released', expires_at = null where status = 'held'",
        "update reservations set status = 'sold', expires_at = null where status = 'held'",
        "delete from stock_adjustments where delta < 0",
        "delete from stock",
    ] {
        assert_eq!(wrong_after!(tables, stock::shelves, change), 1, "{change}");
    }
}

#[tokio::test]
async fn times_of_holds_that_do_not_fit_are_found() {
    let mut tables = some_stock().await;
    let found = stock::waits(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from reservation_waits",
        "update reservations set expired = true where status = 'held'",
        "update reservations set expires_at = '2027-01-01' where status = 'held'",
        "insert into reservation_waits (expires_at, reservation_id) values (now(), '01932c1e-5a4b-7c3d-8e2f-000000000002')",
        "insert into reservation_waits (expires_at, reservation_id) values (now(), gen_random_uuid())",
    ] {
        assert_eq!(wrong_after!(tables, stock::waits, change), 1, "{change}");
    }
}

#[tokio::test]
async fn reservations_are_read_all_or_some() {
    let mut tables = some_stock().await;
    let (mut orders, mut counts) = (Orders::default(), Vec::new());
    let mut each = |order, version| counts.push((order, version));
    stock::reservations(&mut tables.db, None, &mut orders, &mut each).await.unwrap();
    assert_eq!((orders.len(), counts.len()), (3, 3));
    assert!(counts.contains(&(id(), 1)));
    let read = orders.of(id()).reservation.unwrap();
    assert_eq!((read.hold, read.version, read.heard_orders), (Hold::Held, 1, 1));

    let gone = Uuid::from_u128(7);
    orders.of(7).reservation = Some(read);
    let which = [Uuid::from_u128(id()), gone];
    stock::reservations(&mut tables.db, Some(&which), &mut orders, &mut |_, _| {}).await.unwrap();
    assert_eq!(orders.of(7).reservation, None);
    assert_eq!(stock::products(&mut tables.db).await.unwrap(), [("mug".to_owned(), 1)]);
}

async fn some_money() -> Tables {
    let mut tables = Tables::of(PAYMENTS).await;
    tables
        .run(
            "insert into accounts (customer_id, currency, balance, held, created_at) values ('ann', 'USD', 90, 5, now());
            insert into holds (customer_id, order_id, amount, state) values ('ann', gen_random_uuid(), 5, 'held');
            insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
            values
                ('ann', gen_random_uuid(), 'deposit', 'outside', 'available', 100, 'USD', null, now()),
                ('ann', gen_random_uuid(), 'hold', 'available', 'held', 5, 'USD', gen_random_uuid(), now()),
                ('ann', gen_random_uuid(), 'capture', 'available', 'shop', 30, 'USD', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', now()),
                ('ann', gen_random_uuid(), 'refund', 'shop', 'available', 20, 'USD', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', now());
            insert into payments (
                order_id, customer_id, revision, due, currency, instrument, tried_token, standing, tried_revision, tried, tried_method,
                refunded, refunds, undoing, version, heard_orders, heard_stock, created_at, updated_at
            )
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 1, 30, 'USD', 'wallet', null, 'captured', 1, 30, 'wallet', 20, 1, 'refunded', 2, 3, 1, now(), now()),
                ('01932c1e-5a4b-7c3d-8e2f-000000000002', 'ann', 1, 7, 'USD', 'card', 'tok_lost', 'charging', 1, 7, 'card', null, null, 'not_asked', 0, 0, 1, now(), now());
            insert into provider_calls (order_id, kind, number, amount, currency, subject, attempts, leased_until)
            values ('01932c1e-5a4b-7c3d-8e2f-000000000002', 'charge', 1, 7, 'USD', 'tok_lost', 0, now());",
        )
        .await;
    tables
}

#[tokio::test]
async fn accounts_that_are_not_their_entries_are_found() {
    let mut tables = some_money().await;
    let found = payments::accounts(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "update accounts set balance = 91",
        "update accounts set held = 6",
        "update holds set state = 'released'",
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, at) values ('ann', gen_random_uuid(), 'deposit', 'outside', 'available', 1, 'USD', now())",
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, at) values ('bob', gen_random_uuid(), 'deposit', 'outside', 'available', 1, 'USD', now())",
    ] {
        assert_eq!(wrong_after!(tables, payments::accounts, change), 1, "{change}");
    }
}

#[tokio::test]
async fn payments_that_are_not_their_entries_are_found() {
    let mut tables = some_money().await;
    let found = payments::captures(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "update payments set tried = 31 where standing = 'captured'",
        "update payments set refunded = 0 where standing = 'captured'",
        "update payments set tried_method = 'card' where standing = 'captured'",
        "insert into ledger_entries (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at) values ('ann', gen_random_uuid(), 'capture', 'available', 'shop', 7, 'USD', '01932c1e-5a4b-7c3d-8e2f-000000000002', now())",
    ] {
        assert_eq!(wrong_after!(tables, payments::captures, change), 1, "{change}");
    }
}

#[tokio::test]
async fn calls_that_nobody_waits_for_are_found_and_the_reverse() {
    let mut tables = some_money().await;
    let found = payments::calls(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from provider_calls",
        "update provider_calls set kind = 'refund'",
        "update payments set standing = 'declined', tried_token = null, decline_code = 'card_declined' where standing = 'charging'",
    ] {
        assert_eq!(wrong_after!(tables, payments::calls, change), 1, "{change}");
    }
}

#[tokio::test]
async fn payments_are_read_in_ten_thousandths() {
    let mut tables = some_money().await;
    let mut orders = Orders::default();
    payments::payments(&mut tables.db, None, &mut orders, &mut |_, _| {}).await.unwrap();
    let paid = orders.of(id()).payment.unwrap();
    assert_eq!((paid.captured, paid.refunded), (Some(300_000), 200_000));
    assert_eq!((paid.undoing, paid.is_calling, paid.is_by_card), (Undoing::Refunded, false, false));
    let second = Uuid::parse_str("01932c1e-5a4b-7c3d-8e2f-000000000002").unwrap();
    let calling = orders.of(second.as_u128()).payment.unwrap();
    assert_eq!((calling.captured, calling.is_calling, calling.is_by_card), (None, true, true));
}

async fn some_orders() -> Tables {
    let mut tables = Tables::of(ORDERS).await;
    tables
        .run(
            "select make_week('order_events', 2863);
            insert into orders (
                order_id, customer_id, status, revision, version, events, method, currency, total, lines, note,
                placed_at, updated_at, reserved_revision, reserved_at, pay_by, heard_stock
            )
            values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'payment_pending', 1, 2, 3, 'deferred', 'USD', 59.98,
                '[]', '', now(), now(), 1, now(), '2026-11-20', 1);
            insert into order_deadlines (due_at, order_id) values ('2026-11-20', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f');
            insert into order_events (order_id, seq, event_id, type, version, at, payload)
            values
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, gen_random_uuid(), 1, 1, now(), ''),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 2, gen_random_uuid(), 41, 1, now(), ''),
                ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 3, gen_random_uuid(), 2, 2, now(), '');",
        )
        .await;
    tables
}

#[tokio::test]
async fn histories_that_are_not_their_orders_are_found() {
    let mut tables = some_orders().await;
    let found = orders::histories(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from order_events where seq = 3",
        "delete from order_events where seq = 2",
        "update order_events set version = 3 where seq = 3",
        "update order_events set type = 21 where seq = 2",
        "update orders set heard_stock = 2",
        "update orders set events = 4",
        "delete from orders",
        "delete from order_events",
    ] {
        assert_eq!(wrong_after!(tables, orders::histories, change), 1, "{change}");
    }
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
    assert_eq!((order.ending, order.total, order.has_deadline), (Ending::Open, 599_800, true));
    assert_eq!((order.version, order.heard, order.events), (2, [1, 0, 0], 3));
    assert_eq!(*read.of(8), Facts::default());
}

#[tokio::test]
async fn the_outbox_tells_what_the_last_tick_calls_shipped() {
    let mut tables = Tables::of(STOCK).await;
    let row = "insert into outbox (event_id, key, version, type, payload) values (gen_random_uuid(), 'k', 1, 41, 'x')";
    tables.run(row).await;
    tables
        .run(
            "insert into relay_tick (epoch, system_id, snap, shipped_pos)
            select 1, 0, pg_current_snapshot(), 1",
        )
        .await;
    tables.run(row).await;
    let rows: Vec<_> = mailbox::outbox(&mut tables.db).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.is_shipped).collect::<Vec<_>>(), [true, false]);

    // A walk has shipped what is visible in its other snapshot, as far as it has come.
    tables
        .run(
            "insert into relay_tick (epoch, system_id, snap, shipped_pos, walk_to, walk_pos)
            select 1, 0, snap, 1, pg_current_snapshot(), 3
            from relay_tick order by tick_id limit 1",
        )
        .await;
    let rows: Vec<_> = mailbox::outbox(&mut tables.db).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.is_shipped).collect::<Vec<_>>(), [true, true]);
    assert!(mailbox::outbox_is_whole(&mut tables.db).await.unwrap());
    tables.run("delete from outbox_leaf where first_pos = 1").await;
    assert!(!mailbox::outbox_is_whole(&mut tables.db).await.unwrap());
}

#[tokio::test]
async fn parked_keys_are_read() {
    let mut tables = Tables::of(STOCK).await;
    assert!(mailbox::parked(&mut tables.db).await.unwrap().is_empty());
    tables.run("insert into parked_keys (topic, key, class, reason) values ('t', 'k', 'c', 'does not decode')").await;
    let parked = mailbox::parked(&mut tables.db).await.unwrap();
    assert_eq!((parked[0].key.as_str(), parked[0].reason.as_str()), ("k", "does not decode"));
}

#[tokio::test]
async fn what_customers_were_told_is_read_and_deliveries_that_do_not_fit_are_found() {
    let mut tables = Tables::of(NOTICES).await;
    tables
        .run(
            r#"insert into notices (order_id, version, heard_orders, heard_payments, told)
            values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, 3, 0, '[
                {"template": "order_confirmation", "about": 1, "id": "x", "standing": "sent"},
                {"template": "payment_refunded", "about": 2, "id": "y", "standing": "queued"}
            ]');
            insert into notifications (
                notification_id, order_id, customer_id, channel, template, recipient, fields, status, attempts, created_at
            )
            values ('01932c1e-5a4b-7c3d-8e2f-000000000009', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'email',
                'payment_refunded', 'ann@example.com', '{}', 'queued', 0, now());
            insert into deliveries (notification_id, leased_until, attempts)
            values ('01932c1e-5a4b-7c3d-8e2f-000000000009', now(), 0);"#,
        )
        .await;
    let mut orders = Orders::default();
    notices::notices(&mut tables.db, None, &mut orders, &mut |_, _| {}).await.unwrap();
    let told = orders.of(id()).notices.unwrap();
    assert_eq!((told.told_confirmed, told.told_cancelled, told.is_delivering), (true, false, true));
    assert_eq!((told.version, told.heard_orders, told.heard_payments), (1, 3, 0));

    let found = notices::deliveries(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from deliveries",
        "update notifications set status = 'failed', failure = 'no_address'",
        "insert into deliveries (notification_id, leased_until, attempts) values (gen_random_uuid(), now(), 0)",
    ] {
        assert_eq!(wrong_after!(tables, notices::deliveries, change), 1, "{change}");
    }
}
