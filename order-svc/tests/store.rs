//! Each statement, its constraints, and the order of locks.

use std::{collections::BTreeMap, sync::Arc};

use mailbox::Tracked;
use order_svc::{
    domain::{Catalogue, Event, Method, Product, Reason, cancel, decide, place},
    store::{self, lists::Filter, order_deadlines::Deadline},
    world::{HistoryRow, LastVersions, Root},
};
use proto::{OrderId, PaymentId, Sku};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{PAYMENT, Shop, a_shop, an_id, now, request, usd};

pub(crate) fn an_order(method: Method) -> Root {
    let product = Product { name: "a mug".into(), price: usd("29.99"), available: 5, version: 1 };
    let catalogue = Catalogue::from([(Sku::parse("mug").unwrap(), product)]);
    let order = place(&request(an_id(), method), &catalogue, now()).unwrap().order;
    Root { order, trace_id: Some([9; 16]), heard: LastVersions::default(), events: 1 }
}

#[tokio::test]
async fn an_order_is_read_as_it_was_written() {
    let mut shop = a_shop().await;
    let (payment, at) = (PaymentId::parse(PAYMENT).unwrap(), now());
    let reserved = Event::StockReserved { revision: 1 };
    let captured = Event::PaymentCaptured { revision: 1, payment, amount: usd("59.98") };
    let code = order_svc::domain::DeclineCode::NoAccount;
    let declined = Event::PaymentDeclined { revision: 1, payment, code };
    let missing = vec![];
    let failure = Some(Arc::from("no_address"));
    let paths: [Vec<Event>; 4] = [
        vec![],
        vec![reserved.clone(), captured, Event::ConfirmationSent { failure }],
        vec![
            Event::StockRejected { revision: 1, missing },
            Event::StockReleased,
            Event::PaymentVoided,
        ],
        vec![reserved, declined, Event::PaymentRefunded { amount: usd("59.98") }],
    ];
    for path in paths {
        let mut stored = an_order(Method::Card);
        store::orders::insert(shop.db().await, &[(&stored.order.id, &stored)], &BTreeMap::new())
            .await
            .unwrap();
        let fresh =
            store::orders::find(shop.db().await, stored.order.id, None).await.unwrap().unwrap();
        assert_eq!(fresh, stored);
        for event in &path {
            stored.order = decide(&stored.order, event, at).order;
            stored.events += 1;
            stored.heard.stock += 1;
        }
        update(&mut shop, fresh, &stored).await.unwrap();
        let found = store::orders::lock(shop.db().await, &[stored.order.id.uuid()]).await.unwrap();
        assert_eq!(found, [stored]);
    }
}

/// Writes an order back that was found as `was`.
async fn update(shop: &mut Shop, was: Root, now: &Root) -> sqlx::Result<()> {
    let id = was.order.id;
    let mut row = Tracked::found(was);
    row.now = now.clone();
    store::orders::update(shop.db().await, &[(id, row)].into()).await
}

#[tokio::test]
async fn writing_fewer_rows_than_asked_is_an_error() {
    let mut shop = a_shop().await;
    let nobody = an_order(Method::Wallet);
    let deadline = Deadline { due_at: now(), order_id: an_id().uuid() };

    let changed = Root { events: 2, ..nobody.clone() };
    assert!(update(&mut shop, nobody, &changed).await.is_err());
    assert!(store::order_deadlines::remove(shop.db().await, &[deadline]).await.is_err());
}

#[tokio::test]
async fn the_schema_defends_what_the_rules_say() {
    let mut shop = a_shop().await;
    let stored = an_order(Method::Card);
    store::orders::insert(shop.db().await, &[(&stored.order.id, &stored)], &BTreeMap::new())
        .await
        .unwrap();
    for wrong in [
        "confirmed_at = now()",
        "confirmed_at = now(), reserved_at = now()",
        "cancelled_at = now()",
        "status = 'cancelled'",
        "version = 2",
        "revision = 0",
    ] {
        let text = sqlx::AssertSqlSafe(format!("update orders set {wrong}"));
        let error = sqlx::raw_sql(text).execute(shop.db().await).await.unwrap_err();
        let constraint = error.as_database_error().unwrap().constraint();
        assert_eq!(constraint, Some("orders_sound"), "{wrong}");
    }
    let again =
        store::orders::insert(shop.db().await, &[(&stored.order.id, &stored)], &BTreeMap::new())
            .await
            .unwrap_err();
    assert_eq!(again.as_database_error().unwrap().constraint(), Some("orders_pkey"));
}

#[tokio::test]
async fn history_is_read_in_order_and_in_pages() {
    let mut shop = a_shop().await;
    let id = an_id();
    let row = |seq| HistoryRow {
        order_id: id.uuid(),
        seq,
        event_id: mailbox::testing::new_id(),
        event_type: 1,
        version: i64::from(seq),
        at: now(),
        payload: vec![1],
    };
    let rows: Vec<HistoryRow> = (1..=5).map(row).collect();
    store::order_events::append(shop.db().await, &rows.iter().collect::<Vec<_>>()).await.unwrap();

    let page = store::order_events::of_order(shop.db().await, id, 2, 2).await.unwrap();

    assert_eq!(page, rows[2..4]);
    let again = store::order_events::append(shop.db().await, &[&rows[0]]).await;
    assert!(again.is_err(), "a row is written once");
}

#[tokio::test]
async fn deadlines_are_found_when_due_and_the_oldest_first() {
    let mut shop = a_shop().await;
    let at = now();
    let deadline =
        |seconds| Deadline { due_at: at + Duration::seconds(seconds), order_id: an_id().uuid() };
    let mut all = [deadline(-5), deadline(-60), deadline(60)];
    all.sort_unstable();
    store::order_deadlines::add(shop.db().await, &all).await.unwrap();

    assert_eq!(store::order_deadlines::due(shop.db().await, at, 10).await.unwrap(), all[..2]);
    assert_eq!(store::order_deadlines::due(shop.db().await, at, 1).await.unwrap(), all[..1]);
    store::order_deadlines::remove(shop.db().await, &all[..2]).await.unwrap();
    assert_eq!(store::order_deadlines::due(shop.db().await, at, 10).await.unwrap(), []);
}

async fn ids(shop: &mut Shop, filter: &Filter) -> Vec<OrderId> {
    let (found, _) = store::lists::ids(shop.db().await, filter).await.unwrap();
    found.into_iter().map(OrderId::new).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_newest_first() {
    let mut shop = a_shop().await;
    let (old, middle) = (shop.place(Method::Wallet).await, shop.place(Method::Wallet).await);
    let new = shop.place(Method::Deferred).await;
    shop.cancel(middle).await;
    let all = Filter {
        customer: None,
        status: None,
        from: OffsetDateTime::UNIX_EPOCH,
        to: now() + Duration::DAY,
        before: Uuid::max(),
        floor: Uuid::nil(),
        limit: 10,
    };
    let one = Filter { limit: 1, ..all.clone() };
    let of_customer = Filter { customer: Some("customer-456".to_owned()), ..all.clone() };
    let nobodys = Filter { customer: Some("nobody".to_owned()), ..all.clone() };
    let pending = Filter { status: Some("pending"), ..of_customer.clone() };
    let cancelled = Filter { status: Some("cancelled"), ..all.clone() };
    let older = Filter { before: middle.uuid(), ..all.clone() };
    let to = Filter { to: shop.order(middle).await.order.placed_at, ..all.clone() };

    assert_eq!(ids(&mut shop, &all).await, [new, middle, old]);
    assert_eq!(store::lists::ids(shop.db().await, &one).await.unwrap().1, Some(new.uuid()));
    assert_eq!(ids(&mut shop, &of_customer).await, [new, middle, old]);
    assert_eq!(ids(&mut shop, &nobodys).await, []);
    assert_eq!(ids(&mut shop, &pending).await, [new, old]);
    assert_eq!(ids(&mut shop, &cancelled).await, [middle]);
    assert_eq!(ids(&mut shop, &older).await, [old]);
    assert_eq!(ids(&mut shop, &to).await, [old], "the end is exclusive");
}

#[tokio::test]
async fn what_waits_is_counted() {
    let mut shop = a_shop().await;
    shop.place(Method::Wallet).await;
    shop.place(Method::Wallet).await;

    assert_eq!(mailbox::backlog(shop.db().await, 1_000_000).await.unwrap(), 2);
    assert_eq!(mailbox::backlog(shop.db().await, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_cancelled_order_keeps_who_and_why() {
    let mut shop = a_shop().await;
    let mut stored = an_order(Method::Wallet);
    store::orders::insert(shop.db().await, &[(&stored.order.id, &stored)], &BTreeMap::new())
        .await
        .unwrap();
    let was = stored.clone();
    stored.order =
        cancel(&stored.order, Reason::CustomerRequest, "anonymous".into(), now()).unwrap().order;
    stored.events += 1;
    update(&mut shop, was, &stored).await.unwrap();

    let found = store::orders::find(shop.db().await, stored.order.id, None).await.unwrap().unwrap();
    assert_eq!(found.order.cancellation, stored.order.cancellation);
}
