//! Lists of orders: windows of times, pages, and orders that move while they are listed.

use std::collections::BTreeMap;

use order_svc::{
    domain::{Line, Method},
    store,
};
use serde_json::Value;
use sqlx::Connection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    http::{Server, a_server},
    store::an_order,
    usd,
};

const START: OffsetDateTime = time::macros::datetime!(2024-11-20 10:00:00 UTC);

/// Stores `count` orders, each placed 1,250,007 microseconds after the one before.
async fn orders_over_a_minute(server: &mut Server, count: i32) {
    let mut all = Vec::new();
    for number in 0..count {
        let mut stored = an_order(Method::Wallet);
        stored.order.placed_at = START + Duration::microseconds(1_250_007) * number;
        stored.order.updated_at = stored.order.placed_at;
        stored.order.present.at = stored.order.placed_at;
        // The order's id is made when its request comes: here in the same millisecond.
        let milliseconds = stored.order.placed_at.unix_timestamp_nanos() / 1_000_000;
        let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000 * 1_000_000);
        let at = uuid::Timestamp::from_unix(
            uuid::NoContext,
            u64::try_from(seconds).unwrap(),
            u32::try_from(rest).unwrap(),
        );
        stored.order.id = proto::OrderId::new(Uuid::new_v7(at));
        all.push(stored);
    }
    let rows: Vec<_> = all.iter().map(|root| (&root.order.id, root)).collect();
    store::orders::insert(server.shop.db().await, &rows, &BTreeMap::new()).await.unwrap();
}

/// All items of a list, page by page, and how many pages there were.
async fn walk(server: &Server, path: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = server.http.get(&format!("{path}{cursor}")).await.body;
        pages += 1;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return (items, pages) };
        cursor = format!("&cursor={next}");
    }
}

fn text(at: OffsetDateTime) -> String {
    chassis::clock::rfc3339(at)
}

#[tokio::test]
async fn each_order_lies_in_exactly_one_of_windows_that_touch() {
    let mut server = a_server().await;
    orders_over_a_minute(&mut server, 40).await;
    let (all, _) = walk(&server, "/v1/orders?limit=200").await;
    assert_eq!(all.len(), 40);

    for order in &all {
        let from = order["created_at"].as_str().unwrap();
        let to = text(chassis::clock::parse(from).unwrap() + Duration::MICROSECOND);
        let path = format!("/v1/orders?created_from={from}&created_to={to}&limit=2");
        let (found, _) = walk(&server, &path).await;
        assert_eq!(found, std::slice::from_ref(order), "{from}");
    }
    let mut seen = BTreeMap::new();
    for window in 0..30 {
        let edge = |number: i32| text(START + Duration::microseconds(1_733_333) * number);
        let path = format!(
            "/v1/customers/customer-456/orders?limit=2&created_from={}&created_to={}",
            edge(window),
            edge(window + 1)
        );
        for order in walk(&server, &path).await.0 {
            *seen.entry(order["id"].to_string()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

#[tokio::test]
async fn a_bound_between_two_microseconds_excludes_what_lies_before_it() {
    let mut server = a_server().await;
    orders_over_a_minute(&mut server, 1).await;

    let count = async |query: &str| walk(&server, &format!("/v1/orders?{query}")).await.0.len();

    assert_eq!(count("created_from=2024-11-20T10:00:00.000000000Z").await, 1);
    assert_eq!(count("created_from=2024-11-20T10:00:00.000000001Z").await, 0);
    assert_eq!(count("created_to=2024-11-20T10:00:00.000000000Z").await, 0);
    assert_eq!(count("created_to=2024-11-20T10:00:00.000000001Z").await, 1);
}

#[tokio::test]
async fn a_page_that_is_exactly_full_may_be_the_last() {
    let mut server = a_server().await;
    orders_over_a_minute(&mut server, 4).await;

    for path in ["/v1/orders?limit=2", "/v1/customers/customer-456/orders?limit=2&status=pending"] {
        let (found, pages) = walk(&server, path).await;
        assert_eq!((found.len(), pages), (4, 2), "{path}");
    }
}

#[tokio::test]
async fn a_page_of_large_orders_ends_before_a_mebibyte() {
    let mut server = a_server().await;
    let line =
        Line { sku: None, name: "é".repeat(200).into(), quantity: 1, unit_price: usd("1.00") };
    let mut all: Vec<_> = (0..30).map(|_| an_order(Method::Wallet)).collect();
    for stored in &mut all {
        stored.order.present.lines = vec![line.clone(); 100].into();
    }
    all.sort_by_key(|stored| stored.order.id);
    let rows: Vec<_> = all.iter().map(|root| (&root.order.id, root)).collect();
    store::orders::insert(server.shop.db().await, &rows, &BTreeMap::new()).await.unwrap();

    let (mut found, mut cursor) = (0, String::new());
    loop {
        let page = server.http.get(&format!("/v1/orders?limit=200{cursor}")).await.body;
        assert!(page.to_string().len() <= 1 << 20);
        found += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, 30);
}

#[tokio::test]
async fn every_listed_order_fits_the_filter_while_orders_move() {
    let mut server = a_server().await;
    orders_over_a_minute(&mut server, 50).await;
    let mut db = sqlx::PgConnection::connect(&server.shop.database.url()).await.unwrap();
    let (over, mut moving) =
        (tokio_util::sync::CancellationToken::new(), tokio::task::JoinSet::new());
    let stop = over.clone();
    moving.spawn(async move {
        while !stop.is_cancelled() {
            for text in [
                "update orders set status = 'cancelled', cancelled_at = now(),
                     cancel_reason = 'customer_request', cancel_detail = ''",
                "update orders set status = 'pending', cancelled_at = null,
                     cancel_reason = null, cancel_detail = null",
            ] {
                sqlx::raw_sql(text).execute(&mut db).await.unwrap();
            }
        }
    });

    let mut shown = 0;
    for _ in 0..150 {
        for status in ["pending", "cancelled"] {
            let page = server.http.get(&format!("/v1/orders?status={status}")).await.body;
            for order in page["items"].as_array().unwrap() {
                assert_eq!(order["status"], status);
                shown += 1;
            }
        }
    }
    over.cancel();
    assert!(shown > 0, "nothing was listed at all");
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    let server = a_server().await;
    let order = server.http.post("/v1/orders", &super::http::two_mugs()).await;
    let events = format!("{}/events", order.header("location"));
    for (path, kind, place) in [
        ("/v1/orders", "orders", serde_json::json!("\0")),
        ("/v1/orders", "orders", serde_json::json!("ffffffff-ffff-4fff-bfff-ffffffffffff")),
        ("/v1/orders", "products", serde_json::json!("mug")),
        (events.as_str(), "events", serde_json::json!(i64::MAX)),
    ] {
        let cursor = chassis::http::write_cursor(kind, &place);
        let told = server.http.get(&format!("{path}?cursor={cursor}")).await;
        assert_eq!(told.code(), (400, "bad_cursor"), "{path} {place}");
    }
}
