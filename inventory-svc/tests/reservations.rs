//! Reservations that staff make for no order, over HTTP, by the sweep and in the catalogue.

use axum::http::StatusCode;
use inventory_svc::input::Input;
use mailbox::testing::Person;
use proto::{Event, ReservationId, catalogue::catalogue_event};
use serde_json::{Value, json};
use service_kit::testing::TestResponse;

use super::{
    an_order,
    http::{Server, a_server},
};

const RESERVATIONS: &str = "/v1/reservations";

/// A server with five mugs in the main warehouse and two pots.
async fn a_shop_with_stock() -> Server {
    let mut server = a_server().await;
    server.shop = server.shop.with_stock("mug", 5).await.with_stock("pot", 2).await;
    server
}

impl Server {
    async fn reserve(&self, items: Value) -> TestResponse {
        let body = json!({"reference": "fair 7", "items": items, "expires_in_s": 900});
        self.http.post(RESERVATIONS, body).await
    }

    async fn amend(&self, path: &str, headers: &[(&str, &str)], change: Value) -> TestResponse {
        self.http.ask("PUT", path, headers, Some(&change)).await
    }

    async fn release(&self, path: &str, headers: &[(&str, &str)]) -> TestResponse {
        self.http.ask("DELETE", path, headers, None).await
    }

    /// The reservations of an order, whatever became of it.
    async fn of_order(&self, order: impl std::fmt::Display) -> Value {
        self.http.get(&format!("{RESERVATIONS}?order_id={order}")).await.body["items"].clone()
    }

    /// What was announced last of a product: available, version.
    async fn last_said(&mut self, sku: &str) -> (i64, i64) {
        let mut said = self.shop.outbox().await.into_iter().filter_map(|event| match event {
            Event::Catalogue(catalogue_event::Event::ProductChanged(it)) if it.sku == sku => {
                Some((it.available, it.version))
            }
            _ => None,
        });
        said.next_back().unwrap()
    }

    /// Lets the time of every reservation pass, and the sweep's finds be decided.
    async fn time_passes(&mut self) {
        sqlx::raw_sql(
            "update reservation_waits set expires_at = '2020-01-01';
             update reservations set expires_at = '2020-01-01' where status = 'held'",
        )
        .execute(self.shop.mailbox.db().await)
        .await
        .unwrap();
    }

    async fn sweep(&mut self, reservation: &TestResponse) {
        let id = ReservationId::parse(reservation.body["id"].as_str().unwrap()).unwrap();
        self.shop.mailbox.tell(Input::ReservationRanOut(id)).await;
    }
}

fn path_of(reservation: &TestResponse) -> String {
    format!("{RESERVATIONS}/{}", reservation.body["id"].as_str().unwrap())
}

#[tokio::test]
async fn staff_hold_pieces_for_no_order() {
    let mut server = a_shop_with_stock().await;

    let told =
        server.reserve(json!([{"sku": "mug", "quantity": 2}, {"sku": "pot", "quantity": 1}])).await;

    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.header("location"), path_of(&told));
    let body = &told.body;
    assert_eq!(
        (&body["order_id"], &body["reference"], &body["status"]),
        (&json!(null), &json!("fair 7"), &json!("held"))
    );
    assert_eq!(
        body["items"],
        json!([{"sku": "mug", "quantity": 2, "warehouse": "main"},
               {"sku": "pot", "quantity": 1, "warehouse": "main"}])
    );
    let expires_at = chassis::clock::parse(body["expires_at"].as_str().unwrap()).unwrap();
    let left = expires_at - chassis::clock::now();
    assert!((890..=900).contains(&left.whole_seconds()), "{left}");

    let seen = server.http.get(&path_of(&told)).await;
    assert_eq!(seen.body, told.body);
    assert_eq!(seen.header("etag"), told.header("etag"));
    let headers = [("if-none-match", told.header("etag"))];
    let again = server.http.ask("GET", &path_of(&told), &headers, None).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);

    let stock = server.http.get("/v1/products/mug/stock").await.body;
    assert_eq!((&stock["reserved"], &stock["available"]), (&json!(2), &json!(3)));
    assert_eq!(server.last_said("mug").await, (3, 3), "told at once");
    assert_eq!(server.shop.said_of_orders().await, [""; 0], "itself it is not published");
    let placed = server.shop.placed(an_order(), &[("mug", 4)]);
    server.shop.hear([placed]).await;
    assert_eq!(server.shop.said_of_orders().await, ["StockRejected"], "the pieces are promised");
}

#[tokio::test]
async fn a_reservation_is_made_whole_or_not_at_all() {
    let mut server = a_shop_with_stock().await;
    let before = server.last_said("pot").await;

    let told =
        server.reserve(json!([{"sku": "pot", "quantity": 1}, {"sku": "mug", "quantity": 6}])).await;
    assert_eq!(told.code(), (409, "insufficient_inventory"));
    assert_eq!(told.pointer(), "/items/1/quantity");
    let detail = told.body["detail"].as_str().unwrap();
    assert_eq!(detail, "insufficient inventory: 6 of mug wanted, 5 available");

    let told =
        server.reserve(json!([{"sku": "pot", "quantity": 9}, {"sku": "jug", "quantity": 1}])).await;
    assert_eq!(told.code(), (422, "unknown_product"), "the product is looked for first");
    assert_eq!(told.pointer(), "/items/1/sku");

    assert_eq!(server.shop.pieces("pot").await, (2, 0, 0));
    assert_eq!(server.shop.count("reservations").await, 0);
    assert_eq!(server.last_said("pot").await, before, "nothing changed, so nothing is said");
}

#[tokio::test]
async fn bad_bodies_get_their_codes() {
    let server = a_shop_with_stock().await;
    let item = json!({"sku": "mug", "quantity": 1});
    let path = path_of(&server.reserve(json!([item])).await);

    for (body, code, pointer) in [
        (json!({}), "missing_field", "/items"),
        (json!({"items": []}), "invalid_value", "/items"),
        (json!({"items": vec![item.clone(); 101]}), "invalid_value", "/items"),
        (json!({"items": [item, item]}), "duplicate_line", "/items/1/sku"),
        (json!({"items": [{"sku": "mug"}]}), "missing_field", "/items/0/quantity"),
        (json!({"items": [{"sku": "mug", "quantity": 0}]}), "invalid_value", "/items/0/quantity"),
        (json!({"items": [{"sku": "a b", "quantity": 1}]}), "invalid_value", "/items/0/sku"),
        (json!({"items": [item], "expires_in_s": 0}), "invalid_value", "/expires_in_s"),
        (json!({"items": [item], "expires_in_s": 2_592_001}), "invalid_value", "/expires_in_s"),
        (json!({"items": [item], "order_id": an_order()}), "unknown_field", "/order_id"),
        (json!({"items": [item], "reference": "é".repeat(201)}), "invalid_value", "/reference"),
    ] {
        let told = server.http.post(RESERVATIONS, &body).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{body}");
    }
    for (change, code, pointer) in [
        (json!({}), "missing_field", "/items"),
        (json!({"items": [item, item]}), "duplicate_line", "/items/1/sku"),
        (json!({"expires_in_s": "9"}), "invalid_value", "/expires_in_s"),
        (json!({"reference": "other", "expires_in_s": 9}), "unknown_field", "/reference"),
    ] {
        let told = server.amend(&path, &[], change.clone()).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{change}");
    }
    let shortest = json!({"items": [{"sku": "pot", "quantity": 1}]});
    let told = server.http.post(RESERVATIONS, shortest).await;
    assert_eq!((told.status.as_u16(), &told.body["reference"]), (201, &json!(null)));
    assert!(told.body["expires_at"].is_string(), "a quarter of an hour unless it says so");
}

#[tokio::test]
async fn a_repeated_key_reserves_once() {
    let mut server = a_shop_with_stock().await;
    let body = json!({"items": [{"sku": "mug", "quantity": 2}]});
    let key = [("idempotency-key", "k-1")];

    let first = server.http.post_with(RESERVATIONS, &key, &body).await;
    let again = server.http.post_with(RESERVATIONS, &key, &body).await;
    let unkeyed = server.http.post(RESERVATIONS, &body).await;

    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_ne!(unkeyed.body["id"], first.body["id"]);
    assert_eq!(server.shop.pieces("mug").await, (5, 4, 0));

    let too_much = json!({"items": [{"sku": "mug", "quantity": 2}]});
    let key = [("idempotency-key", "k-2")];
    let refused = server.http.post_with(RESERVATIONS, &key, &too_much).await;
    assert_eq!(refused.code(), (409, "insufficient_inventory"));
    server.shop.adjust("mug", "main", 50).await;
    let again = server.http.post_with(RESERVATIONS, &key, &too_much).await;
    assert_eq!(again.code(), (409, "insufficient_inventory"), "the first answer stays");
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_reservation_takes_other_pieces_and_another_time() {
    let mut server = a_shop_with_stock().await;
    let made = server.reserve(json!([{"sku": "mug", "quantity": 2}])).await;
    let path = path_of(&made);

    // The reservation may use its own pieces, and those that it does not want any more go back.
    let change = json!({"items": [{"sku": "mug", "quantity": 5}]});
    let told = server.amend(&path, &[("if-match", made.header("etag"))], change).await;
    assert_eq!((told.status.as_u16(), &told.body["items"][0]["quantity"]), (200, &json!(5)));
    assert_eq!(told.body["expires_at"], made.body["expires_at"]);
    assert_eq!(server.last_said("mug").await.0, 0);
    let change = json!({"items": [{"sku": "pot", "quantity": 1}], "expires_in_s": 60});
    let told = server.amend(&path, &[], change).await;
    assert_eq!(told.body["items"], json!([{"sku": "pot", "quantity": 1, "warehouse": "main"}]));
    assert!(told.body["expires_at"].as_str() < made.body["expires_at"].as_str());
    assert_eq!(server.shop.pieces("mug").await, (5, 0, 0));
    assert_eq!((server.last_said("mug").await.0, server.last_said("pot").await.0), (5, 1));

    let said = server.last_said("pot").await;
    let later = server.amend(&path, &[], json!({"expires_in_s": 1800})).await;
    assert_eq!(later.body["items"], told.body["items"]);
    assert!(later.body["expires_at"].as_str() > made.body["expires_at"].as_str());
    assert_eq!(server.last_said("pot").await, said, "no piece moved");
    assert_eq!(server.shop.count("reservation_waits").await, 1);
    assert_eq!(server.http.get(&path).await.body, later.body);

    for (change, code) in [
        (json!({"items": [{"sku": "pot", "quantity": 3}]}), (409, "insufficient_inventory")),
        (json!({"items": [{"sku": "jug", "quantity": 1}]}), (422, "unknown_product")),
    ] {
        assert_eq!(server.amend(&path, &[], change).await.code(), code);
    }
    assert_eq!(server.http.get(&path).await.body, later.body, "a refusal changes nothing");
}

#[tokio::test]
async fn a_stale_change_of_a_reservation_is_refused() {
    let server = a_shop_with_stock().await;
    let made = server.reserve(json!([{"sku": "mug", "quantity": 2}])).await;
    let (path, stale) = (path_of(&made), [("if-match", made.header("etag"))]);
    let changed = server.amend(&path, &[], json!({"expires_in_s": 60})).await;

    let change = json!({"items": [{"sku": "jug", "quantity": 1}]});
    assert_eq!(server.amend(&path, &stale, change).await.code(), (412, "stale"));
    assert_eq!(server.release(&path, &stale).await.code(), (412, "stale"));
    let present = [("if-match", changed.header("etag"))];
    assert_eq!(server.release(&path, &present).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_released_reservation_gives_its_pieces_back_once() {
    let mut server = a_shop_with_stock().await;
    let made = server.reserve(json!([{"sku": "mug", "quantity": 2}])).await;
    let path = path_of(&made);

    let told = server.release(&path, &[]).await;
    assert_eq!((told.status.as_u16(), &told.body["status"]), (200, &json!("released")));
    assert_eq!(told.body["items"], made.body["items"], "what it held is still told");
    assert_eq!(told.body["expires_at"], json!(null));
    assert_eq!(server.last_said("mug").await.0, 5);

    assert_eq!(server.release(&path, &[]).await.code(), (409, "not_amendable"));
    let late = server.amend(&path, &[], json!({"items": [{"sku": "jug", "quantity": 1}]})).await;
    assert_eq!(late.code(), (409, "not_amendable"), "looked for before the product");
    server.sweep(&made).await;
    assert_eq!(server.http.get(&path).await.body, told.body);
    assert_eq!(server.shop.pieces("mug").await, (5, 0, 0));
    assert_eq!(server.shop.count("reservation_waits").await, 0);
}

#[tokio::test]
async fn a_reservation_whose_time_is_over_expires_by_itself() {
    let mut server = a_shop_with_stock().await;
    let made = server.reserve(json!([{"sku": "mug", "quantity": 2}])).await;
    let path = path_of(&made);

    server.sweep(&made).await;
    assert_eq!(server.http.get(&path).await.body, made.body, "too early");
    server.time_passes().await;
    let late = server.amend(&path, &[], json!({"expires_in_s": 60})).await;
    assert_eq!(late.code(), (409, "not_amendable"), "over, although the sweep has not come yet");
    let now = chassis::clock::now();
    let due = inventory_svc::store::reservation_waits::due(server.shop.mailbox.db().await, now, 9);
    assert_eq!(due.await.unwrap().len(), 1);
    server.sweep(&made).await;
    server.sweep(&made).await;

    let seen = server.http.get(&path).await.body;
    assert_eq!((&seen["status"], &seen["items"]), (&json!("expired"), &made.body["items"]));
    assert_eq!(seen["expires_at"], "2020-01-01T00:00:00.000000Z");
    assert_eq!(server.shop.pieces("mug").await, (5, 0, 0));
    assert_eq!(server.last_said("mug").await.0, 5);
    assert_eq!(server.shop.count("reservation_waits").await, 0);
    assert_eq!(server.shop.said_of_orders().await, [""; 0]);
    assert_eq!(server.release(&path, &[]).await.code(), (409, "not_amendable"));
}

#[tokio::test]
async fn an_orders_reservation_ends_with_its_order_alone() {
    let mut server = a_shop_with_stock().await;
    let order = an_order();
    assert_eq!(server.of_order(order).await, json!([]), "not heard of yet");
    let placed = server.shop.placed(order, &[("mug", 2)]);
    server.shop.hear([placed]).await;

    let held = server.of_order(order).await[0].clone();
    let id = held["id"].as_str().unwrap();
    assert_ne!(id, order.to_string(), "it has an id of its own");
    assert_eq!(
        (&held["order_id"], &held["reference"], &held["status"]),
        (&json!(order), &json!(null), &json!("held"))
    );
    let path = format!("{RESERVATIONS}/{id}");
    assert_eq!(server.http.get(&path).await.body, held);
    let change = json!({"items": [{"sku": "mug", "quantity": 1}]});
    assert_eq!(server.amend(&path, &[], change).await.code(), (409, "not_amendable"));
    assert_eq!(server.release(&path, &[]).await.code(), (409, "not_amendable"));
    server.time_passes().await;
    server.shop.mailbox.tell(Input::HoldRanOut(order)).await;
    assert_eq!(server.of_order(order).await[0]["status"], "held", "until the order ends");
    assert_eq!(server.shop.pieces("mug").await, (5, 2, 0));

    let confirmed = server.shop.confirmed(order);
    server.shop.hear([confirmed]).await;
    let sold = server.of_order(order).await[0].clone();
    assert_eq!((&sold["status"], &sold["expires_at"]), (&json!("sold"), &json!(null)));
    let cancelled = server.shop.cancelled(order);
    server.shop.hear([cancelled]).await;
    assert_eq!(server.of_order(order).await[0]["status"], "released");
}

/// An order of lines without stock is reserved like any other, and so is its end shown.
#[tokio::test]
async fn a_reservation_of_no_pieces_is_shown_to_its_end_and_one_that_never_was_is_not() {
    let mut server = a_shop_with_stock().await;
    let (extras, rejected, unheard) = (an_order(), an_order(), an_order());
    let messages = [server.shop.placed(extras, &[]), server.shop.placed(rejected, &[("mug", 6)])];
    server.shop.hear(messages).await;
    let held = server.of_order(extras).await[0].clone();
    assert_eq!((&held["status"], &held["items"]), (&json!("held"), &json!([])));

    for order in [extras, rejected, unheard] {
        let cancelled = server.shop.cancelled(order);
        server.shop.hear([cancelled]).await;
    }

    let released = server.of_order(extras).await[0].clone();
    assert_eq!((&released["status"], &released["items"]), (&json!("released"), &json!([])));
    let path = format!("{RESERVATIONS}/{}", held["id"].as_str().unwrap());
    assert_eq!(server.http.get(&path).await.body, released);
    for order in [rejected, unheard] {
        assert_eq!(server.of_order(order).await, json!([]));
    }
}

#[tokio::test]
async fn what_is_no_reservation_is_not_found() {
    let server = a_shop_with_stock().await;
    let change = json!({"expires_in_s": 60});
    for id in ["7".to_owned(), an_order().to_string(), "..".to_owned()] {
        let path = format!("{RESERVATIONS}/{id}");
        assert_eq!(server.http.get(&path).await.code(), (404, "not_found"), "{id}");
        assert_eq!(server.amend(&path, &[], change.clone()).await.code(), (404, "not_found"));
        assert_eq!(server.release(&path, &[]).await.code(), (404, "not_found"));
    }
    let told = server.http.get(&format!("{RESERVATIONS}?order_id=7")).await;
    assert_eq!(told.code(), (400, "bad_parameter"));
}

#[tokio::test]
async fn a_reservation_that_somebody_holds_delays_itself_alone() {
    let mut server = a_shop_with_stock().await;
    let held = server.reserve(json!([{"sku": "mug", "quantity": 1}])).await;
    let free = server.reserve(json!([{"sku": "mug", "quantity": 1}])).await;
    server.time_passes().await;
    let id = held.body["id"].as_str().unwrap();
    let select = format!("select * from reservations where reservation_id = '{id}'");
    let person = Person::holds(&server.shop.database.url(), &select).await;

    let (http, path) = (server.http.clone(), path_of(&held));
    let (late, ()) = tokio::join!(http.ask("DELETE", &path, &[], None), async {
        server.sweep(&free).await;
        assert_eq!(server.shop.pieces("mug").await, (5, 1, 0));
        person.ends().await;
    });
    assert_eq!(late.code(), (409, "not_amendable"), "its time is over");
    server.sweep(&held).await;
    assert_eq!(server.shop.pieces("mug").await, (5, 0, 0));
}
