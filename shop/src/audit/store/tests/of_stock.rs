//! Inventory-svc's tables.

use super::*;

async fn some_stock() -> Tables {
    let mut tables = Tables::of(STOCK).await;
    tables
        .run(
            r#"insert into products (sku, name, price, currency, version, said_available) values ('mug', 'Mug', 5, 'USD', 1, 9);
            insert into stock (sku, warehouse_id, on_hand, reserved, sold) values ('mug', 'main', 18, 9, 2);
            insert into stock_adjustments (adjustment_id, sku, warehouse_id, delta, reason, caller, at)
            values
                (gen_random_uuid(), 'mug', 'main', 21, 'received', 'ann', now()),
                (gen_random_uuid(), 'mug', 'main', -1, 'lost', 'ann', now());
            insert into reservations
                (reservation_id, order_id, version, heard_orders, revision, answered, status, expired, expires_at, allocations, surplus)
            values
                ('01932c1e-5a4b-7c3d-8e2f-00000000000a', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f', 1, 1, 2, 2, 'held', false,
                 '2026-11-20', '[{"sku":"mug","warehouse":"main","quantity":3}]', '[{"sku":"mug","warehouse":"main","quantity":4}]'),
                ('01932c1e-5a4b-7c3d-8e2f-00000000000b', '01932c1e-5a4b-7c3d-8e2f-000000000002', 1, 2, 1, 1, 'sold', false,
                 null, '[{"sku":"mug","warehouse":"main","quantity":2}]', null),
                ('01932c1e-5a4b-7c3d-8e2f-00000000000c', '01932c1e-5a4b-7c3d-8e2f-000000000003', 2, 2, 1, 1, 'released', false,
                 null, '[{"sku":"mug","warehouse":"main","quantity":7}]', null),
                -- What staff hold, held and do not hold any more.
                ('01932c1e-5a4b-7c3d-8e2f-00000000000d', null, 0, 0, 0, 0, 'held', false,
                 '2026-11-21', '[{"sku":"mug","warehouse":"main","quantity":2}]', null),
                ('01932c1e-5a4b-7c3d-8e2f-00000000000e', null, 0, 0, 0, 0, 'expired', false,
                 '2026-11-19', '[{"sku":"mug","warehouse":"main","quantity":5}]', null);
            insert into reservation_waits (expires_at, reservation_id, order_id)
            values
                ('2026-11-20', '01932c1e-5a4b-7c3d-8e2f-00000000000a', '01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f'),
                ('2026-11-21', '01932c1e-5a4b-7c3d-8e2f-00000000000d', null);"#,
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
        "update stock set on_hand = 19",
        "update stock set reserved = 8",
        "update stock set sold = 3",
        "update reservations set status = 'released', expires_at = null, surplus = null where status = 'held' and order_id is not null",
        "update reservations set status = 'sold', expires_at = null, surplus = null where status = 'held' and order_id is not null",
        // What an amendment left over, and what staff hold, counts as well.
        "update reservations set surplus = null",
        "update reservations set status = 'released', expires_at = null where status = 'held' and order_id is null",
        "delete from stock_adjustments where delta < 0",
        "delete from stock",
        // Fewer pieces than were ordered are reserved.
        r#"update reservations set allocations = '[{"sku":"mug","warehouse":"main","quantity":2}]' where status = 'held' and order_id is not null"#,
    ] {
        assert_eq!(wrong_after!(tables, stock::shelves, change), 1, "{change}");
    }
}

#[tokio::test]
async fn times_of_holds_that_do_not_fit_are_found() {
    let mut tables = some_stock().await;
    let found = stock::waits(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (2, 0));
    for change in [
        "delete from reservation_waits where order_id is null",
        "delete from reservation_waits where order_id is not null",
        "update reservation_waits set order_id = gen_random_uuid() where order_id is null",
        "update reservation_waits set order_id = null",
        "update reservations set expired = true where status = 'held' and order_id is not null",
        "update reservations set expires_at = '2027-01-01' where status = 'held' and order_id is null",
        "insert into reservation_waits (expires_at, reservation_id) values (now(), '01932c1e-5a4b-7c3d-8e2f-00000000000b')",
        "insert into reservation_waits (expires_at, reservation_id) values (now(), gen_random_uuid())",
    ] {
        assert_eq!(wrong_after!(tables, stock::waits, change), 1, "{change}");
    }
}

#[tokio::test]
async fn reservations_are_read_all_or_some() {
    let mut tables = some_stock().await;
    let mut orders = Orders::default();
    stock::reservations(&mut tables.db, None, &mut orders).await.unwrap();
    assert_eq!(orders.len(), 3);
    let read = orders.of(id()).reservation.unwrap();
    assert_eq!((read.hold, read.version, read.heard_orders), (Hold::Held, 1, 1));

    let gone = Uuid::from_u128(7);
    orders.of(7).reservation = Some(read);
    let which = [Uuid::from_u128(id()), gone];
    stock::reservations(&mut tables.db, Some(&which), &mut orders).await.unwrap();
    assert_eq!(orders.of(7).reservation, None);
    let products = stock::products(&mut tables.db).await.unwrap();
    assert_eq!((products[0].sku.as_str(), products[0].version), ("mug", 1));
}

#[tokio::test]
async fn what_is_available_and_was_not_said_is_found() {
    let mut tables = some_stock().await;
    tables.run("update products set said_available = 9").await;
    let found = stock::availability(&mut tables.db).await.unwrap();
    assert_eq!((found.checked, found.wrong), (1, 0));
    assert_eq!(wrong_after!(tables, stock::availability, "update stock set reserved = 8"), 1);
    assert_eq!(wrong_after!(tables, stock::availability, "delete from stock"), 1);
    let many = "update stock set on_hand = 1009; update products set said_available = 1050";
    assert_eq!(wrong_after!(tables, stock::availability, many), 0);
    let moved = "update stock set on_hand = 1009; update products set said_available = 1200";
    assert_eq!(wrong_after!(tables, stock::availability, moved), 1);
}
