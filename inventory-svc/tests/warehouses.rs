//! Warehouses, what lies in them, and the journal of what people put there, over HTTP.

use serde_json::{Value, json};

use super::{
    an_order,
    http::{Server, a_server},
};

const STOCK: &str = "/v1/products/mug/stock";

impl Server {
    /// Opens a warehouse and puts mugs into it.
    async fn open(&self, id: &str, priority: i64, pieces: i64) {
        let path = format!("/v1/warehouses/{id}");
        let body = json!({"name": format!("place {id}"), "priority": priority});
        assert!(self.http.put(&path, body).await.status.is_success());
        let body = json!({"warehouse": id, "delta": pieces, "reason": "opened"});
        assert_eq!(self.http.post(STOCK, body).await.status, 200);
    }

    /// The warehouses from which mugs are taken for a reservation, with their quantities.
    async fn taken(&self, quantity: u32) -> Vec<(String, u64)> {
        let body = json!({"items": [{"sku": "mug", "quantity": quantity}]});
        let told = self.http.post("/v1/reservations", body).await.body;
        let items = told["items"].as_array().unwrap().iter();
        let place = |item: &Value| item["warehouse"].as_str().unwrap().to_owned();
        items.map(|item| (place(item), item["quantity"].as_u64().unwrap())).collect()
    }
}

#[tokio::test]
async fn warehouses_are_opened_renamed_and_listed() {
    let server = a_server().await;
    let main = json!({"id": "main", "name": "Main warehouse", "priority": 1});
    let listed = server.http.get("/v1/warehouses").await.body;
    assert_eq!(listed, json!({"items": [main], "next_cursor": null}), "there from the start");

    let path = "/v1/warehouses/attic";
    let opened = server.http.put(path, json!({"name": "Attic", "priority": 0})).await;
    assert_eq!(opened.status, 201);
    let attic = json!({"id": "attic", "name": "Attic", "priority": 0});
    assert_eq!(opened.body, attic);
    let renamed = json!({"name": "Loft", "priority": 2});
    let stale = [("if-match", "\"other\"")];
    let told = server.http.ask("PUT", path, &stale, Some(&renamed)).await;
    assert_eq!(told.code(), (412, "stale"));
    let present = [("if-match", opened.header("etag"))];
    let told = server.http.ask("PUT", path, &present, Some(&renamed)).await;
    assert_eq!((told.status.as_u16(), &told.body["priority"]), (200, &json!(2)));
    let told = server.http.ask("PUT", "/v1/warehouses/new", &present, Some(&renamed)).await;
    assert_eq!(told.code(), (412, "stale"), "there is none yet");

    let first = server.http.get("/v1/warehouses?limit=1").await.body;
    assert_eq!(first["items"][0]["id"], "attic", "by id");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.http.get(&format!("/v1/warehouses?limit=1&cursor={cursor}")).await.body;
    assert_eq!(second, json!({"items": [main], "next_cursor": null}));
}

#[tokio::test]
async fn bad_warehouses_get_their_codes() {
    let server = a_server().await;
    let path = "/v1/warehouses/attic";
    for (body, code, pointer) in [
        (json!({"name": "Attic"}), "missing_field", "/priority"),
        (json!({"name": "Attic", "priority": null}), "missing_field", "/priority"),
        (json!({"priority": 1}), "missing_field", "/name"),
        (json!({"name": "", "priority": 1}), "invalid_value", "/name"),
        (json!({"name": "Attic", "priority": -1}), "invalid_value", "/priority"),
        (json!({"name": "Attic", "priority": 1.0}), "invalid_value", "/priority"),
        (json!({"name": "Attic", "priority": 1_000_001}), "invalid_value", "/priority"),
        (json!({"name": "Attic", "priority": 1, "id": "x"}), "unknown_field", "/id"),
    ] {
        let told = server.http.put(path, &body).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{body}");
    }
    let fine = json!({"name": "Attic", "priority": 1});
    for id in ["a%20b", "..", &"x".repeat(65)] {
        let told = server.http.put(&format!("/v1/warehouses/{id}"), &fine).await;
        assert_eq!(told.code(), (404, "not_found"), "{id}");
    }
    let told = server.http.get("/v1/warehouses?name=x").await;
    assert_eq!(told.code(), (400, "bad_parameter"));
    assert_eq!(server.http.get("/v1/warehouses").await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pieces_are_taken_from_the_lowest_priority_first_and_then_by_id() {
    let server = a_server().await;
    server.list_mug().await;
    server.open("zoo", 0, 1).await;
    server.open("bay", 5, 4).await;
    server.open("ark", 5, 2).await;

    let places = |taken: &[(&str, u64)]| -> Vec<_> {
        taken.iter().map(|(place, quantity)| ((*place).to_owned(), *quantity)).collect()
    };
    assert_eq!(server.taken(4).await, places(&[("zoo", 1), ("ark", 2), ("bay", 1)]));
    // Another priority counts from now on, and what is reserved stays where it is.
    let told = server.http.put("/v1/warehouses/bay", json!({"name": "bay", "priority": 0})).await;
    assert_eq!(told.status, 200);
    let told = server.http.post(STOCK, json!({"warehouse": "ark", "delta": 1})).await;
    assert_eq!(
        told.body["warehouses"],
        json!([
            {"warehouse": "ark", "on_hand": 3, "reserved": 2, "available": 1},
            {"warehouse": "bay", "on_hand": 4, "reserved": 1, "available": 3},
            {"warehouse": "zoo", "on_hand": 1, "reserved": 1, "available": 0}
        ])
    );
    assert_eq!(server.taken(4).await, places(&[("bay", 3), ("ark", 1)]));
}

#[tokio::test]
async fn a_line_is_taken_from_twenty_warehouses_at_most() {
    let mut server = a_server().await;
    server.list_mug().await;
    for number in 10..32 {
        server.open(&format!("w{number}"), number, 1).await;
    }

    let wanted = |quantity| json!({"items": [{"sku": "mug", "quantity": quantity}]});
    let told = server.http.post("/v1/availability", wanted(21)).await;
    let item = json!({"sku": "mug", "wanted": 21, "available": 22});
    assert_eq!(told.body, json!({"available": false, "items": [item]}), "all that lies there");
    let told = server.http.post("/v1/reservations", wanted(21)).await;
    assert_eq!(told.code(), (409, "insufficient_inventory"));
    assert_eq!(told.body["errors"][0]["detail"], "20 available");
    let (wide, widest) = (an_order(), an_order());
    let placed =
        [server.shop.placed(wide, &[("mug", 21)]), server.shop.placed(widest, &[("mug", 20)])];
    server.shop.hear(placed).await;

    assert_eq!(server.shop.said_of_orders().await, ["StockRejected", "StockReserved"]);
    let found = server.http.get(&format!("/v1/reservations?order_id={widest}")).await.body;
    assert_eq!(found["items"][0]["items"].as_array().unwrap().len(), 20);
    let found = server.http.get(&format!("/v1/reservations?order_id={wide}")).await.body;
    assert_eq!(found["items"], json!([]), "nothing was ever reserved");
}

#[tokio::test]
async fn what_an_amendment_left_over_is_shown_as_reserved_until_the_order_ends() {
    let mut server = a_server().await;
    server.list_mug().await;
    server.open("main", 1, 5).await;
    let order = an_order();
    let messages =
        [server.shop.placed(order, &[("mug", 4)]), server.shop.amended(order, 2, &[("mug", 1)])];
    server.shop.hear(messages).await;

    let reserved = async |server: &Server| server.http.get(STOCK).await.body["reserved"].clone();
    assert_eq!(reserved(&server).await, 4);
    let found = server.http.get(&format!("/v1/reservations?order_id={order}")).await.body;
    let item = json!({"sku": "mug", "quantity": 1, "warehouse": "main"});
    assert_eq!(found["items"][0]["items"], json!([item]), "the present revision's");
    let told = server.http.post(STOCK, json!({"warehouse": "main", "delta": -2})).await;
    assert_eq!(told.code(), (409, "stock_reserved"));
    let confirmed = server.shop.confirmed_at(order, 2);
    server.shop.hear([confirmed]).await;
    assert_eq!(reserved(&server).await, 0);
}

#[tokio::test]
async fn every_adjustment_is_in_the_journal_as_it_was_booked() {
    let mut server = a_server().await;
    server.list_mug().await;
    server.open("main", 1, 5).await;
    server.open("attic", 2, 3).await;
    let path = format!("{STOCK}/adjustments");
    for (warehouse, delta, status) in [("main", -2, 200), ("main", -9, 409), ("moon", 1, 422)] {
        let body = json!({"warehouse": warehouse, "delta": delta, "reason": "broken"});
        assert_eq!(server.http.post(STOCK, body).await.status, status);
    }
    let told = server.http.post(STOCK, json!({"warehouse": "attic", "delta": 1})).await;
    assert_eq!(told.status, 200);
    // Orders are no adjustments, nor is another product's stock one of these.
    server.shop = server.shop.with_stock("pot", 7).await;
    let order = an_order();
    let messages = [server.shop.placed(order, &[("mug", 2)]), server.shop.confirmed(order)];
    server.shop.hear(messages).await;

    let mut booked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.http.get(&format!("{path}?limit=3{cursor}")).await.body;
        booked.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let of = |name: &str| booked.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("delta"), [5, 3, -2, 1], "what was refused is not booked");
    assert_eq!(of("warehouse"), ["main", "attic", "main", "attic"]);
    assert_eq!(of("reason"), ["opened", "opened", "broken", ""]);
    assert_eq!(of("by"), ["anonymous"; 4]);
    assert!(of("id").is_sorted_by_key(ToString::to_string), "in the order of time");
    assert!(of("at").iter().all(|at| chassis::clock::parse(at.as_str().unwrap()).is_some()));
    let stock = server.http.get(STOCK).await.body;
    let sum = stock["on_hand"].as_i64().unwrap() + stock["sold"].as_i64().unwrap();
    assert_eq!(sum, 7, "the sum of the journal");

    for (path, code) in [
        ("/v1/products/jug/stock/adjustments".to_owned(), (404, "not_found")),
        (format!("{path}?cursor=x"), (400, "bad_cursor")),
        (format!("{path}?limit=201"), (400, "bad_parameter")),
        (format!("{path}?warehouse=main"), (400, "bad_parameter")),
    ] {
        assert_eq!(server.http.get(&path).await.code(), code, "{path}");
    }
    let told = server.http.post(&path, json!({"delta": 1})).await;
    assert_eq!(told.code(), (405, "method_not_allowed"), "nothing is taken back or changed");
}
