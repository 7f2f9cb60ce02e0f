//! Amended orders: what a further revision reserves, keeps, and gives back at the end.

use inventory_svc::{domain::Reservation, input::Input, store};
use proto::{Event, OrderId, stock::stock_event};
use time::OffsetDateTime;

use super::{Shop, a_shop, an_order, terms};

/// An order of two mugs that is held, in a shop with five mugs and two pots.
async fn a_held_order() -> (Shop, OrderId) {
    let mut shop = a_shop().await.with_stock("mug", 5).await.with_stock("pot", 2).await;
    let order = an_order();
    let placed = shop.placed(order, &[("mug", 2)]);
    shop.hear([placed]).await;
    (shop, order)
}

impl Shop {
    async fn amend(&mut self, order: OrderId, revision: u32, lines: &[(&str, u32)]) {
        let amended = self.amended(order, revision, lines);
        self.hear([amended]).await;
    }

    /// The last event announced about an order.
    async fn last_said_of_orders(&mut self) -> stock_event::Event {
        let mut said = self.outbox().await.into_iter().filter_map(|event| match event {
            Event::Stock(event) => Some(event),
            _ => None,
        });
        said.next_back().unwrap()
    }

    async fn root(&mut self, order: OrderId) -> inventory_svc::world::Root {
        store::reservations::find(self.mailbox.db().await, order, None).await.unwrap().unwrap()
    }

    /// When the sweep will look at an order's reservation.
    async fn waits(&mut self) -> Vec<OffsetDateTime> {
        sqlx::query_scalar("select expires_at from reservation_waits")
            .fetch_all(self.mailbox.db().await)
            .await
            .unwrap()
    }

    /// Lets the time of every reservation pass.
    async fn time_passes(&mut self) {
        sqlx::raw_sql(
            "update reservation_waits set expires_at = '2020-01-01';
             update reservations set expires_at = '2020-01-01' where status = 'held'",
        )
        .execute(self.mailbox.db().await)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_amendment_takes_what_is_missing_and_starts_the_clock_anew() {
    let (mut shop, order) = a_held_order().await;
    let first = shop.waits().await;
    let id = shop.root(order).await.id.unwrap();

    shop.amend(order, 2, &[("mug", 3), ("pot", 1), ("", 1)]).await;

    let stock_event::Event::StockReserved(reserved) = shop.last_said_of_orders().await else {
        panic!("it fits")
    };
    assert_eq!((reserved.revision, reserved.reservation_id), (2, id.to_string()));
    assert_eq!(reserved.terms, Some(terms()), "those of this revision");
    let lines: Vec<_> = reserved.lines.iter().map(|it| (it.sku.as_str(), it.quantity)).collect();
    assert_eq!(lines, [("mug", 3), ("pot", 1)], "all of the revision's pieces");
    assert_eq!(shop.pieces("mug").await, (5, 3, 0), "one more than before");
    assert_eq!(shop.pieces("pot").await, (2, 1, 0));
    let second = shop.waits().await;
    assert_eq!(second.len(), 1);
    assert!(second > first, "{second:?} {first:?}");
}

#[tokio::test]
async fn what_is_left_over_goes_back_when_the_order_is_confirmed() {
    let (mut shop, order) = a_held_order().await;

    shop.amend(order, 2, &[("mug", 1), ("pot", 2)]).await;
    assert_eq!(shop.pieces("mug").await, (5, 2, 0), "the order may go back to two");
    shop.amend(order, 3, &[("pot", 1)]).await;
    assert_eq!((shop.pieces("mug").await, shop.pieces("pot").await), ((5, 2, 0), (2, 2, 0)));
    let confirmed = shop.confirmed_at(order, 3);
    shop.hear([confirmed]).await;

    assert_eq!(shop.pieces("mug").await, (5, 0, 0));
    assert_eq!(shop.pieces("pot").await, (1, 0, 1), "exactly the present revision is sold");
    assert_eq!(shop.count("reservation_waits").await, 0);
    let cancelled = shop.cancelled_at(order, 3);
    shop.hear([cancelled]).await;
    assert_eq!(shop.pieces("pot").await, (2, 0, 0));
}

#[tokio::test]
async fn a_rejected_amendment_leaves_the_revision_before_as_it_was() {
    let (mut shop, order) = a_held_order().await;
    let until = shop.waits().await;

    shop.amend(order, 2, &[("mug", 6)]).await;
    let stock_event::Event::StockRejected(rejected) = shop.last_said_of_orders().await else {
        panic!("there are five")
    };
    let missing = &rejected.missing[0];
    assert_eq!((rejected.revision, missing.wanted, missing.available), (2, 6, 5));
    assert_eq!(shop.pieces("mug").await, (5, 2, 0));
    assert_eq!(shop.waits().await, until, "the clock goes on");

    // A rival takes all the others: the order can go back to what it had.
    let rival = shop.placed(an_order(), &[("mug", 3)]);
    shop.hear([rival]).await;
    shop.amend(order, 3, &[("mug", 2)]).await;
    assert_eq!(
        shop.said_of_orders().await,
        ["StockReserved", "StockRejected", "StockReserved", "StockReserved"]
    );
    assert_eq!(shop.pieces("mug").await, (5, 5, 0));
    let root = shop.root(order).await;
    assert!(matches!(root.state, Reservation::Held { revision: 3, answered: 3, .. }), "{root:?}");
}

#[tokio::test]
async fn an_order_that_did_not_fit_is_tried_again_when_it_is_amended() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;
    let order = an_order();
    let placed = shop.placed(order, &[("mug", 6)]);
    shop.hear([placed]).await;

    shop.amend(order, 2, &[("mug", 7)]).await;
    shop.amend(order, 3, &[("mug", 5)]).await;

    assert_eq!(shop.said_of_orders().await, ["StockRejected", "StockRejected", "StockReserved"]);
    assert_eq!(shop.pieces("mug").await, (5, 5, 0));
    let cancelled = shop.cancelled_at(order, 3);
    shop.hear([cancelled]).await;
    assert_eq!(shop.pieces("mug").await, (5, 0, 0));
}

#[tokio::test]
async fn old_revisions_and_what_comes_after_the_end_change_nothing() {
    let (mut shop, order) = a_held_order().await;
    shop.amend(order, 2, &[("mug", 9)]).await;
    shop.amend(order, 3, &[("mug", 3)]).await;
    let before = shop.root(order).await.state;
    let said = shop.said_of_orders().await;

    // With versions of their own: the inbox does not know them.
    for revision in [1, 2, 3] {
        shop.amend(order, revision, &[("pot", 1)]).await;
    }
    let placed = shop.placed(order, &[("pot", 1)]);
    shop.hear([placed]).await;
    assert_eq!(shop.root(order).await.state, before);
    let cancelled = shop.cancelled_at(order, 3);
    shop.hear([cancelled]).await;
    shop.amend(order, 4, &[("mug", 1)]).await;

    let stock_event::Event::StockReleased(released) = shop.last_said_of_orders().await else {
        panic!("nothing comes after StockReleased")
    };
    assert_eq!((released.revision, released.lines[0].quantity), (3, 3));
    assert_eq!(shop.said_of_orders().await.len(), said.len() + 1);
    assert_eq!(shop.pieces("mug").await, (5, 0, 0));
    assert_eq!(shop.count("reservation_waits").await, 0);
}

#[tokio::test]
async fn a_cancel_answers_the_revision_that_it_cancels() {
    let (mut shop, order) = a_held_order().await;
    shop.amend(order, 2, &[("mug", 9)]).await;

    let cancelled = shop.cancelled_at(order, 2);
    shop.hear([cancelled]).await;

    let stock_event::Event::StockReleased(released) = shop.last_said_of_orders().await else {
        panic!("it is released")
    };
    assert_eq!((released.revision, released.lines[0].quantity), (2, 2), "the pieces of revision 1");
}

#[tokio::test]
async fn each_reserved_revision_runs_out_by_itself() {
    let (mut shop, order) = a_held_order().await;
    shop.time_passes().await;
    shop.mailbox.tell(Input::HoldRanOut(order)).await;
    shop.amend(order, 2, &[("mug", 9)]).await;
    assert_eq!(shop.count("reservation_waits").await, 0, "its time is over all the same");

    shop.amend(order, 3, &[("mug", 1)]).await;
    assert_eq!(shop.count("reservation_waits").await, 1);
    shop.mailbox.tell(Input::HoldRanOut(order)).await;
    shop.time_passes().await;
    shop.mailbox.tell(Input::HoldRanOut(order)).await;

    assert_eq!(
        shop.said_of_orders().await,
        [
            "StockReserved",
            "ReservationExpired",
            "StockRejected",
            "StockReserved",
            "ReservationExpired"
        ]
    );
    let stock_event::Event::ReservationExpired(expired) = shop.last_said_of_orders().await else {
        panic!("it ran out")
    };
    assert_eq!(expired.revision, 3);
    assert_eq!(shop.pieces("mug").await, (5, 2, 0), "all of it stays held");
}

#[tokio::test]
async fn the_revisions_of_an_order_fit_into_one_batch_with_its_rival() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;
    let (order, rival) = (an_order(), an_order());

    let messages = [
        shop.placed(order, &[("mug", 2)]),
        shop.amended(order, 2, &[("mug", 4)]),
        shop.placed(rival, &[("mug", 2)]),
        shop.amended(order, 3, &[("mug", 1)]),
        shop.amended(rival, 2, &[("mug", 1)]),
        shop.confirmed_at(order, 3),
        shop.amended(rival, 3, &[("mug", 4)]),
    ];
    shop.hear(messages).await;

    assert_eq!(
        shop.said_of_orders().await,
        [
            "StockReserved",
            "StockReserved",
            "StockRejected",
            "StockReserved",
            "StockReserved",
            "StockReserved"
        ],
        "surplus goes back at the confirmation, and not before"
    );
    assert_eq!(shop.pieces("mug").await, (4, 4, 1));
    assert_eq!(shop.root(rival).await.customer.unwrap().as_str(), "customer-456");
}

#[tokio::test]
async fn an_amendment_is_split_over_twenty_warehouses_as_well() {
    let mut shop = a_shop().await.with_stock("mug", 0).await;
    sqlx::raw_sql(
        "insert into warehouses (warehouse_id, name, priority)
         select 'place-' || n, 'a place', n from generate_series(1, 24) n;
         insert into stock (sku, warehouse_id, on_hand, reserved, sold)
         select 'mug', warehouse_id, 1, 0, 0 from warehouses where warehouse_id <> 'main'",
    )
    .execute(shop.mailbox.db().await)
    .await
    .unwrap();
    let order = an_order();
    let placed = shop.placed(order, &[("mug", 20)]);
    shop.hear([placed]).await;

    shop.amend(order, 2, &[("mug", 21)]).await;
    shop.adjust("mug", "place-24", 5).await;
    shop.amend(order, 3, &[("mug", 21)]).await;

    let stock_event::Event::StockReserved(reserved) = shop.last_said_of_orders().await else {
        panic!("it fits into twenty")
    };
    let last = reserved.lines.last().unwrap();
    assert_eq!(
        (last.warehouse.as_str(), last.quantity),
        ("place-24", 2),
        "nineteen of its own, two new"
    );
    assert_eq!(reserved.lines.iter().map(|it| it.quantity).sum::<u32>(), 21);
    assert!(reserved.lines.len() <= 20);
    let names = shop.said_of_orders().await;
    assert_eq!(names, ["StockReserved", "StockRejected", "StockReserved"]);
}
