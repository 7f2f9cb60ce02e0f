//! Every statement on a real database: good rows are found good, and each planted fault is found.

use backends::testing::TestDatabase;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::audit::{
    check::{Checks, Promise},
    facts::{CompensationState, Facts, Hold, OrderEnd},
    whole,
};

const MAILBOX: &str = include_str!("../../../migrations/0001_mailbox.sql");
const ORDERS: &str = include_str!("../../../migrations/0101_orders.sql");
const PAYMENTS: &str = include_str!("../../../migrations/0101_payments.sql");
const NOTICES: &str = include_str!("../../../migrations/0101_notices.sql");
const STOCK: &str = include_str!("../../../migrations/0101_stock.sql");

const ID: &str = "01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";

/// A database with the tables of one service.
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

/// Runs a change that breaks something, and returns how many rows a check then finds wrong.
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

// After the macro, because these modules use it.
mod of_orders;
mod of_payments;
mod of_stock;

fn id() -> u128 {
    Uuid::parse_str(ID).unwrap().as_u128()
}

#[tokio::test]
async fn the_outbox_tells_what_the_last_tick_calls_published() {
    let mut tables = Tables::of(STOCK).await;
    let row = "insert into outbox (event_id, key, version, type, payload) values (gen_random_uuid(), 'k', 1, 41, 'x')";
    tables.run(row).await;
    tables
        .run(
            "insert into relay_tick (epoch, system_id, snap, published_pos)
            select 1, 0, pg_current_snapshot(), 1",
        )
        .await;
    tables.run(row).await;
    let rows: Vec<_> = mailbox::outbox(&mut tables.db).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.is_published).collect::<Vec<_>>(), [true, false]);

    // A scan of the relay has published what its other snapshot shows, up to its position.
    tables
        .run(
            "insert into relay_tick (epoch, system_id, snap, published_pos, scan_to, scan_pos)
            select 1, 0, snap, 1, pg_current_snapshot(), 3
            from relay_tick order by tick_id limit 1",
        )
        .await;
    let rows: Vec<_> = mailbox::outbox(&mut tables.db).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.is_published).collect::<Vec<_>>(), [true, true]);
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
    assert_eq!((parked[0].what.as_str(), parked[0].reason.as_str()), ("k", "does not decode"));
}

#[tokio::test]
async fn partitions_that_stopped_and_events_of_unknown_types_are_read_with_their_ages() {
    let mut tables = Tables::of(STOCK).await;
    tables
        .run(
            r#"insert into consumer_stops (topic, "partition", reason, since)
            values ('shop.orders.v1', 7, 'Kafka no longer has what comes next', now() - interval '90 seconds');
            insert into unknown_events (topic, key, "partition", "offset", event_id, event_type, source, version, payload, at)
            select 'shop.orders.v1', 'k', 0, n, gen_random_uuid(), 'shop.orders.v1.OrderGiven', '/shop/order-svc', n, '', now() - n * interval '1 minute'
            from generate_series(1, 3) as n"#,
        )
        .await;
    let stopped = mailbox::stopped(&mut tables.db).await.unwrap();
    assert_eq!((stopped.len(), stopped[0].what.as_str()), (1, "7"));
    assert!(stopped[0].seconds >= 90);
    let unknown = mailbox::unknown(&mut tables.db).await.unwrap();
    assert_eq!((unknown.len(), unknown[0].what.as_str()), (1, "shop.orders.v1.OrderGiven"));
    assert!(unknown[0].reason.starts_with("3 wait") && unknown[0].seconds >= 180);
    let (mut orders, mut checks) = (Orders::default(), Checks::default());
    whole::stops(&mut tables.db, "stock", &mut orders, &mut checks).await.unwrap();
    assert!(!checks.get(Promise::NothingStopped).ok && !checks.get(Promise::NothingUnknown).ok);
    assert!(checks.get(Promise::NothingParked).ok);
}

#[tokio::test]
async fn what_was_taken_in_and_what_operators_mended_is_read() {
    let mut tables = Tables::of(STOCK).await;
    assert_eq!(mailbox::incarnation(&mut tables.db).await.unwrap(), 1);
    tables
        .run(
            "insert into outbox_identity (source, incarnation) values ('/shop/inventory-svc', 3);
            select make_week('inbox', 2863);
            insert into inbox (event_id) values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f');
            insert into operations (caller, action, reason, topic, key, version)
            values ('ann', 'parked.discard', 'no use', 'shop.orders.v1', 'k', 3), ('ann', 'parked.release', '1 messages', 't', 'k', null);",
        )
        .await;
    assert_eq!(mailbox::incarnation(&mut tables.db).await.unwrap(), 3);
    assert_eq!(mailbox::inbox(&mut tables.db).await.unwrap(), [0x8e2f_1a2b_3c4d_5e6f]);
    let mended = mailbox::mended(&mut tables.db).await.unwrap();
    assert_eq!((mended.len(), mended[0].version), (1, Some(3)));
}

#[tokio::test]
async fn what_customers_were_told_is_read_and_deliveries_that_do_not_fit_are_found() {
    let mut tables = Tables::of(NOTICES).await;
    tables
        .run(
            r#"insert into notices (order_id, customer_id, version, heard_orders, heard_payments, told)
            values ('01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 1, 3, 0, '[
                {"template": "order_confirmation", "about": 1, "revision": 1, "channel": "email", "id": "01932c1e-5a4b-7c3d-8e2f-000000000008", "status": "sent"},
                {"template": "payment_refunded", "about": 2, "revision": 1, "channel": "email", "id": "01932c1e-5a4b-7c3d-8e2f-000000000009", "status": "queued"},
                {"template": null, "about": null, "revision": 1, "channel": "sms", "id": "01932c1e-5a4b-7c3d-8e2f-00000000000a", "status": "refused"}
            ]');
            insert into notifications (
                notification_id, order_id, customer_id, channel, template, language, recipient, fields, status, attempts, created_at, sent_at, failure
            )
            values ('01932c1e-5a4b-7c3d-8e2f-000000000008', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'email',
                'order_confirmation', 'en', 'ann@example.com', '{}', 'sent', 1, now(), now(), null),
            ('01932c1e-5a4b-7c3d-8e2f-000000000009', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'email',
                'payment_refunded', 'en', 'ann@example.com', '{}', 'queued', 0, now(), null, null),
            ('01932c1e-5a4b-7c3d-8e2f-00000000000a', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 'ann', 'sms',
                null, 'en', '+4930123', '{}', 'failed', 1, now(), null, 'refused'),
            ('01932c1e-5a4b-7c3d-8e2f-00000000000b', null, null, 'push',
                null, 'en', 'token', '{}', 'sent', 1, now(), now(), null);
            insert into deliveries (notification_id, channel, leased_until, attempts)
            values ('01932c1e-5a4b-7c3d-8e2f-000000000009', 'email', now(), 0);"#,
        )
        .await;
    let mut orders = Orders::default();
    notices::notices(&mut tables.db, None, &mut orders).await.unwrap();
    let told = orders.of(id()).notices.unwrap();
    assert_eq!((told.told, told.is_confused), ([0, 1, 0, 1, 0, 0], false));
    assert_eq!((told.sent, told.failed, told.delivery_until > 0), (1, 1, true));
    assert_eq!((told.version, told.heard_orders, told.heard_payments), (1, 3, 0));

    let sent = notices::sent(&mut tables.db).await.unwrap();
    assert_eq!(sent, [0x8e2f_0000_0000_0008, 0x8e2f_0000_0000_000b]);
    let found = notices::notifications(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (3, 0));
    for change in [
        "delete from notifications where status = 'sent'",
        "update notifications set template = 'payment_due' where status = 'sent'",
        "update notifications set status = 'failed', failure = 'no_address', sent_at = null where status = 'sent'",
        "update notices set told = '[]'",
    ] {
        assert!(wrong_after!(tables, notices::notifications, change) > 0, "{change}");
    }

    let found = notices::deliveries(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    for change in [
        "delete from deliveries",
        "update notifications set status = 'failed', failure = 'no_address', sent_at = null",
        "insert into deliveries (notification_id, channel, leased_until, attempts) values (gen_random_uuid(), 'sms', now(), 0)",
    ] {
        assert_eq!(wrong_after!(tables, notices::deliveries, change), 1, "{change}");
    }
}
