//! What the constraints refuse, and what the statements find.

use inventory_svc::{domain::Reservation, store};
use proto::{CustomerId, Sku};
use sqlx::Connection;
use time::Duration;

use super::{a_shop, an_order};

/// The name of the constraint that a statement breaks.
async fn broken(shop: &mut super::Shop, statement: &'static str) -> String {
    let error = sqlx::raw_sql(statement).execute(shop.mailbox.db().await).await.unwrap_err();
    error.as_database_error().unwrap().constraint().unwrap().to_owned()
}

#[tokio::test]
async fn stock_is_neither_negative_nor_oversold_whatever_the_code_does() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;

    for (statement, constraint) in [
        ("update stock set on_hand = -1, reserved = -1", "stock_not_negative"),
        ("update stock set sold = -1", "stock_not_negative"),
        ("update stock set reserved = 6", "stock_not_oversold"),
        ("insert into stock values ('pot', 'main', 1, 0, 0)", "stock_of_product"),
        ("insert into stock values ('mug', 'moon', 1, 0, 0)", "stock_in_warehouse"),
        ("update products set price = 0", "products_price_positive"),
    ] {
        assert_eq!(broken(&mut shop, statement).await, constraint);
    }
}

#[tokio::test]
async fn a_reservation_is_in_a_state_we_know() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;
    let placed = shop.placed(an_order(), &[("mug", 1)]);
    shop.hear([placed]).await;

    for (statement, constraint) in [
        ("update reservations set status = 'lost', expires_at = null", "reservations_status_known"),
        ("update reservations set status = 'expired'", "reservations_status_known"),
        (
            "update reservations set order_id = null, status = 'sold', expires_at = null",
            "reservations_status_known",
        ),
        ("update reservations set expires_at = null", "reservations_held_until"),
        (
            "update reservations set status = 'sold', expires_at = null, surplus = '[]'",
            "reservations_surplus_held",
        ),
        ("insert into reservations select * from reservations", "reservations_pkey"),
        (
            "insert into reservations
             select gen_random_uuid(), r.order_id, 'ann', null, 1, 1, 1, 1, 'sold', false, null, '[]'
             from reservations r",
            "reservations_of_order",
        ),
    ] {
        assert_eq!(broken(&mut shop, statement).await, constraint);
    }
}

#[tokio::test]
async fn a_reservation_survives_its_rows() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;
    let order = an_order();
    // Held for the first revision, with a surplus since the second, and the third did not fit.
    let messages = [
        shop.placed(order, &[("mug", 2)]),
        shop.amended(order, 2, &[("mug", 1)]),
        shop.amended(order, 3, &[("mug", 9)]),
    ];
    shop.hear(messages).await;

    let db = shop.mailbox.db().await;
    let seen = store::reservations::find(db, order, None).await.unwrap().unwrap();
    let mut tx = db.begin().await.unwrap();
    let locked = store::reservations::lock(&mut tx, &[order.uuid()]).await.unwrap();
    tx.rollback().await.unwrap();

    assert_eq!(locked, [(order, seen.clone())]);
    assert_eq!((seen.version, seen.heard_orders), (3, 3));
    assert_eq!(seen.customer.as_ref().map(CustomerId::as_str), Some("customer-456"));
    let Reservation::Held { revision, answered, surplus, .. } = seen.state else {
        panic!("it is held")
    };
    assert_eq!((revision, answered, surplus[0].quantity), (2, 3, 1));
}

#[tokio::test]
async fn products_are_locked_in_the_order_of_their_bytes() {
    let mut shop = a_shop().await;
    for sku in ["b", "B", "a-1", "a.1", "a1"] {
        shop = shop.with_stock(sku, 1).await;
    }

    let skus = ["a1", "b", "a.1", "B", "a-1"].map(ToOwned::to_owned);
    let locked = store::products::lock(shop.mailbox.db().await, &skus).await.unwrap();

    let locked: Vec<_> = locked.into_iter().map(|product| product.sku).collect();
    assert!(locked.is_sorted(), "the database and we sort alike: {locked:?}");
    assert_eq!(locked.len(), 5);
}

#[tokio::test]
async fn the_sweep_finds_the_oldest_first_and_no_more_than_it_may() {
    let mut shop = a_shop().await.with_stock("mug", 50).await;
    let orders = [an_order(), an_order(), an_order()];
    for order in orders {
        let placed = shop.placed(order, &[("mug", 1)]);
        shop.hear([placed]).await;
    }

    let now = chassis::clock::now();
    let db = shop.mailbox.db().await;
    assert_eq!(store::reservation_waits::due(db, now, 10).await.unwrap(), []);
    let later = now + Duration::minutes(21);
    let due = store::reservation_waits::due(db, later, 2).await.unwrap();
    let due: Vec<_> = due.iter().filter_map(|wait| wait.order).collect();
    assert_eq!(due, orders[..2]);
}

#[tokio::test]
async fn products_are_read_by_sku() {
    let mut shop = a_shop().await;
    for sku in ["mug-1", "mug-2", "pot-1"] {
        shop = shop.with_stock(sku, 3).await;
    }

    let db = shop.mailbox.db().await;
    let names = store::products::names(db, Some("mug-1"), 1).await.unwrap();
    assert_eq!((names[0].sku.as_str(), names[0].name.as_str()), ("mug-2", "a mug-2"));
    let skus = ["pot-1", "jug", "mug-1"].map(ToOwned::to_owned);
    let found = store::products::find_all(db, &skus).await.unwrap();
    let found: Vec<_> = found.iter().map(|(it, pieces)| (it.sku.as_str(), *pieces)).collect();
    assert_eq!(found, [("mug-1", 3), ("pot-1", 3)]);
    let one = store::products::find(db, &Sku::parse("pot-1").unwrap()).await.unwrap().unwrap();
    assert_eq!(one.1, 3);
}
