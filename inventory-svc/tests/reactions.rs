//! Reactions: given rows, when a message comes, then rows and events.

use mailbox::{
    Message,
    testing::{message, reacts_once, reacts_whole},
};
use proto::{Event, OrderId, Sku, catalogue::catalogue_event, orders, stock::stock_event, topic};

use super::{Shop, a_shop, an_order, terms};
use inventory_svc::{domain::Reservation, input::Input, store};

#[tokio::test]
async fn an_order_that_fits_is_held_and_its_terms_are_passed_on() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();

    let placed = shop.placed(order, &[("mug", 2), ("", 1)]);
    shop.hear([placed]).await;

    assert_eq!(shop.pieces("mug").await, (500, 2, 0));
    let Some(Event::Stock(stock_event::Event::StockReserved(reserved))) = shop.outbox().await.pop()
    else {
        panic!("nothing was reserved")
    };
    assert_eq!(reserved.order_id, order.to_string());
    assert_eq!(reserved.terms, Some(terms()));
    assert_eq!(reserved.lines.len(), 1, "a line without a SKU needs no stock");
    assert_eq!((reserved.lines[0].quantity, reserved.lines[0].warehouse.as_str()), (2, "main"));
    assert_eq!(shop.count("reservation_waits").await, 1);
}

#[tokio::test]
async fn an_order_that_does_not_fit_holds_nothing_and_hears_what_is_missing() {
    let mut shop = a_shop().await.with_stock("mug", 500).await.with_stock("pot", 1).await;

    let placed = shop.placed(an_order(), &[("mug", 1), ("pot", 3), ("unknown", 1)]);
    shop.hear([placed]).await;

    let Some(Event::Stock(stock_event::Event::StockRejected(rejected))) = shop.outbox().await.pop()
    else {
        panic!("nothing was rejected")
    };
    let missing: Vec<_> =
        rejected.missing.iter().map(|m| (m.sku.as_str(), m.wanted, m.available)).collect();
    assert_eq!(missing, [("pot", 3, 1), ("unknown", 1, 0)]);
    assert_eq!(shop.pieces("mug").await, (500, 0, 0));
    assert_eq!(shop.count("reservation_waits").await, 0);
}

#[tokio::test]
async fn confirmed_pieces_leave_and_come_back_if_the_order_is_cancelled_after_all() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();

    let placed = shop.placed(order, &[("mug", 2)]);
    let confirmed = shop.confirmed(order);
    shop.hear([placed]).await;
    shop.hear([confirmed]).await;
    assert_eq!(shop.pieces("mug").await, (498, 0, 2));
    assert_eq!(shop.count("reservation_waits").await, 0);

    let cancelled = shop.cancelled(order);
    shop.hear([cancelled]).await;
    assert_eq!(shop.pieces("mug").await, (500, 0, 0));
    assert_eq!(shop.said_of_orders().await, ["StockReserved", "StockReleased"]);
}

#[tokio::test]
async fn a_cancel_that_comes_first_leaves_a_tombstone() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();

    let cancelled = shop.cancelled(order);
    let placed = shop.placed(order, &[("mug", 2)]);
    shop.hear([cancelled]).await;
    shop.hear([placed]).await;

    assert_eq!(shop.pieces("mug").await, (500, 0, 0));
    assert_eq!(shop.said_of_orders().await, ["StockReleased"]);
}

#[tokio::test]
async fn the_whole_life_of_an_order_fits_into_one_batch() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let (order, rival) = (an_order(), an_order());

    let messages = [
        shop.placed(order, &[("mug", 400)]),
        shop.placed(rival, &[("mug", 101)]),
        shop.confirmed(order),
        shop.cancelled(order),
        shop.cancelled(rival),
    ];
    shop.hear(messages).await;

    assert_eq!(shop.pieces("mug").await, (500, 0, 0));
    assert_eq!(
        shop.said_of_orders().await,
        ["StockReserved", "StockRejected", "StockReleased", "StockReleased"]
    );
    assert_eq!(shop.count("reservation_waits").await, 0);
}

#[tokio::test]
async fn what_is_said_of_an_order_is_counted_without_gaps() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();

    let placed = shop.placed(order, &[("mug", 2)]);
    let cancelled = shop.cancelled(order);
    shop.hear([placed]).await;
    shop.mailbox.tell(Input::HoldRanOut(order)).await;
    shop.hear([cancelled]).await;

    let of_order =
        shop.mailbox.outbox().await.into_iter().filter(|row| row.key == order.to_string());
    assert_eq!(of_order.map(|row| row.version).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_hold_that_runs_out_is_said_once_and_goes_on() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();
    let placed = shop.placed(order, &[("mug", 2)]);
    shop.hear([placed]).await;

    // Too early: nothing is announced.
    shop.mailbox.tell(Input::HoldRanOut(order)).await;
    sqlx::raw_sql(
        "update reservation_waits set expires_at = '2020-01-01';
         update reservations set expires_at = '2020-01-01'",
    )
    .execute(shop.mailbox.db().await)
    .await
    .unwrap();
    shop.mailbox.tell(Input::HoldRanOut(order)).await;
    shop.mailbox.tell(Input::HoldRanOut(order)).await;

    assert_eq!(shop.said_of_orders().await, ["StockReserved", "ReservationExpired"]);
    assert_eq!(shop.pieces("mug").await, (500, 2, 0));
    assert_eq!(shop.count("reservation_waits").await, 0);
    let root =
        store::reservations::find(shop.mailbox.db().await, order, None).await.unwrap().unwrap();
    assert!(matches!(root.state, Reservation::Held { expired: true, .. }));
}

#[tokio::test]
async fn a_hot_product_is_said_once_for_a_batch_and_only_when_it_matters() {
    let mut shop = a_shop().await.with_stock("mug", 1_000).await;
    let listed = changes(&mut shop).await;
    assert_eq!(listed, [(0, 1), (1_000, 2)]);

    let few: Vec<_> = (0..99).map(|_| shop.placed(an_order(), &[("mug", 1)])).collect();
    shop.hear(few).await;
    assert_eq!(changes(&mut shop).await, listed, "901 of 1,000 is no news");

    let more: Vec<_> = (0..3).map(|_| shop.placed(an_order(), &[("mug", 1)])).collect();
    shop.hear(more).await;
    assert_eq!(changes(&mut shop).await, [(0, 1), (1_000, 2), (898, 3)]);
}

#[tokio::test]
async fn a_product_that_the_catalogue_lost_is_said_anew_with_the_next_version() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;

    shop.mailbox.tell(Input::SayAnew(Sku::parse("mug").unwrap())).await;
    shop.mailbox.tell(Input::SayAnew(Sku::parse("never-listed").unwrap())).await;

    assert_eq!(changes(&mut shop).await, [(0, 1), (5, 2), (5, 3)]);
}

/// Availability and version of each `ProductChanged`.
async fn changes(shop: &mut Shop) -> Vec<(i64, i64)> {
    let said = shop.outbox().await;
    let changed = said.into_iter().filter_map(|event| match event {
        Event::Catalogue(catalogue_event::Event::ProductChanged(it)) => {
            Some((it.available, it.version))
        }
        _ => None,
    });
    changed.collect()
}

#[tokio::test]
async fn what_does_not_decode_parks_and_what_nobody_cares_for_leaves_no_trace() {
    let mut shop = a_shop().await;
    let order = an_order().to_string();
    let named = |name: &str, payload: &[u8]| {
        message(topic::ORDERS, &order, &format!("shop.orders.v1.{name}"), 1, payload.to_vec())
    };

    let shipped = orders::OrderShipped::default();
    let shipped = shop.said(an_order(), shipped);
    // An event that a newer order-svc may publish: member number 15 of the topic's oneof.
    let new = named("OrderThatIsNew", &[0x7a, 0]);
    assert_eq!(shop.mailbox.hear(vec![shipped, new]).await, 0);
    assert_eq!(shop.count("inbox").await, 0);
    for name in ["OrderPlaced", "OrderAmended"] {
        let mut shop = a_shop().await;
        assert_eq!(shop.mailbox.hear(vec![named(name, b"\xff")]).await, 1, "{name}");
        // Two pieces of one line, and none of another.
        let order = an_order();
        let message = match name {
            "OrderPlaced" => shop.placed(order, &[("mug", 2), ("pot", 0)]),
            _ => shop.amended(order, 2, &[("mug", 2), ("a b", 1)]),
        };
        assert_eq!(shop.mailbox.hear(vec![message]).await, 1, "{name}");
    }
}

/// Everything that an order may say: amended to fewer, to more than there is, and to more.
fn a_life(shop: &mut Shop, order: OrderId) -> Vec<Message> {
    vec![
        shop.placed(order, &[("mug", 2)]),
        shop.amended(order, 2, &[("mug", 1)]),
        shop.amended(order, 3, &[("mug", 501)]),
        shop.amended(order, 4, &[("mug", 3)]),
        shop.confirmed_at(order, 4),
        shop.cancelled_at(order, 4),
    ]
}

#[tokio::test]
async fn every_reaction_takes_effect_once() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();
    for message in a_life(&mut shop, order) {
        reacts_once(&mut shop.mailbox, message).await;
    }
}

#[tokio::test]
async fn every_reaction_takes_effect_whole() {
    let mut shop = a_shop().await.with_stock("mug", 500).await;
    let order = an_order();
    for message in a_life(&mut shop, order) {
        reacts_whole(&mut shop.mailbox, message).await;
    }
}

#[tokio::test]
async fn the_largest_order_split_as_far_as_it_may_be_fits_an_event() {
    let mut shop = a_shop().await;
    // A hundred products in twenty-one warehouses, one piece in each, all names of 64 characters.
    sqlx::raw_sql(
        "insert into products (sku, name, price, currency, version, said_available)
         select rpad('sku-' || n || '-', 64, 'x'), 'a thing', 1, 'USD', 1, 21
         from generate_series(1, 100) n;
         insert into warehouses (warehouse_id, name, priority)
         select rpad('place-' || n || '-', 64, 'x'), 'a place', n from generate_series(1, 21) n;
         insert into stock (sku, warehouse_id, on_hand, reserved, sold)
         select sku, warehouse_id, 1, 0, 0 from products, warehouses where warehouse_id <> 'main'",
    )
    .execute(shop.mailbox.db().await)
    .await
    .unwrap();
    let skus: Vec<String> = (1..=100).map(|n| format!("{:x<64}", format!("sku-{n}-"))).collect();
    let lines = |quantity| skus.iter().map(|sku| (sku.as_str(), quantity)).collect::<Vec<_>>();

    let (widest, wider) = (lines(20), lines(21));
    let placed = [shop.placed(an_order(), &wider), shop.placed(an_order(), &widest)];
    shop.hear(placed).await;

    assert_eq!(shop.said_of_orders().await, ["StockRejected", "StockReserved"]);
}
