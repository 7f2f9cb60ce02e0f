//! How orders, stock and accounts are shown.

use e2e::in_the_shop;
use serde_json::{Value, json};
use shop::processes::OURS;

#[test]
fn an_order_is_shown_as_the_contract_says() {
    in_the_shop(async |shop| {
        let mug = shop.lists("29.99", 5).await;
        let customer = shop.welcomes("100.00").await;
        let wanted = customer.wants(2, &mug).with("note", json!("leave at the door"));

        let answer = shop.ordering(&wanted).await;

        let location = answer.header("location").to_owned();
        assert!(!answer.header("etag").is_empty());
        let mut order = answer.with(201);
        let id = order["id"].as_str().unwrap().to_owned();
        assert_eq!(location, format!("/v1/orders/{id}"));
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        let at = order["created_at"].as_str().unwrap().to_owned();
        assert!(at.len() == "2026-11-20T10:00:00.000000Z".len() && at.ends_with('Z'), "{at}");
        for (member, value) in [("id", ""), ("created_at", ""), ("updated_at", "")] {
            order[member] = json!(value);
        }
        let usd = |amount: &str| json!({"amount": amount, "currency": "USD"});
        let expected = json!({"id": "", "customer_id": customer.id, "status": "pending",
            "revision": 1, "version": 1,
            "items": [{"line": 1, "sku": mug.sku, "name": "Blue mug", "quantity": 2,
                "unit_price": usd("29.99"), "total": usd("59.98")}],
            "total_amount": usd("59.98"), "payment": {"method": "deferred", "payment_id": null},
            "cancellation": null, "shipment": null, "amendment": null, "note": "leave at the door",
            "created_at": "", "updated_at": ""});
        assert_eq!(order, expected);
    });
}

#[test]
fn status_events_and_saga_tell_one_story() {
    in_the_shop(async |shop| {
        let mug = shop.lists("29.99", 5).await;
        let order = shop.place(shop.a_stranger().wants(1, &mug)).await;
        let shown = shop.expect(&order, "payment_pending").await;

        let status = shop.get(&order.path("/status")).await.with(200);
        let expected = json!({"id": order.id, "status": "payment_pending", "revision": 1,
            "updated_at": shown["updated_at"]});
        assert_eq!(status, expected);
        let events = shop.get(&order.path("/events")).await.with(200)["items"].take();
        let events = events.as_array().unwrap();
        let told = |event: &Value| {
            let name = event["type"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
            (name, event["source"].as_str().unwrap().to_owned(), event["version"].as_i64().unwrap())
        };
        let said: Vec<_> = events.iter().take(3).map(told).collect();
        let said: Vec<_> = said.iter().map(|(n, s, v)| (n.as_str(), s.as_str(), *v)).collect();
        let expected = [
            ("OrderPlaced", "/shop/order-svc", 1),
            ("StockReserved", "/shop/inventory-svc", 1),
            ("OrderAwaitingPayment", "/shop/order-svc", 2),
        ];
        assert_eq!(said, expected);
        assert!(events[0]["data"].to_string().contains(&mug.sku), "{}", events[0]);
        let saga = shop.saga(&order, "started").await;
        assert_eq!(saga["order_id"], order.id);
        assert_eq!(saga["completed_steps"], json!(["inventory_reserved"]));
        assert_eq!(saga["expected"]["step"], "payment_processed");
        assert_eq!(saga["expected"]["from"], "payment-svc");
        assert_eq!(saga["expected"]["late"], false);
        assert_eq!(saga["trace_id"].as_str().map(str::len), Some(32), "{saga}");
    });
}

#[test]
fn lists_are_told_page_by_page_newest_first() {
    in_the_shop(async |shop| {
        let mug = shop.lists("1.00", 50).await;
        let customer = shop.welcomes("50.00").await;
        let mut placed = Vec::new();
        for _ in 0..5 {
            placed.push(shop.place(customer.wants(1, &mug).from_the_account()).await.id);
        }
        placed.reverse();

        for path in [
            format!("/v1/orders?customer_id={}&limit=2", customer.id),
            format!("/v1/customers/{}/orders?limit=2", customer.id),
        ] {
            let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = shop.get(&format!("{path}{next}")).await.with(200);
                let items = page["items"].as_array().unwrap().clone();
                seen.extend(items.iter().map(|order| order["id"].as_str().unwrap().to_owned()));
                pages += 1;
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                next = format!("&cursor={cursor}");
            }
            assert_eq!((seen, pages), (placed.clone(), 3), "{path}");
        }
        let confirmed = format!("/v1/orders?customer_id={}&status=confirmed", customer.id);
        shop.until(&confirmed, "all", |list| list["items"].as_array().unwrap().len() == 5).await;
        let future =
            format!("/v1/orders?customer_id={}&created_from=2999-01-01T00:00:00Z", customer.id);
        assert_eq!(shop.get(&future).await.with(200)["items"], json!([]));
    });
}

#[test]
fn availability_stock_and_accounts_are_told() {
    in_the_shop(async |shop| {
        let (mug, lamp) = (shop.lists("1.00", 3).await, shop.lists("2.00", 0).await);
        let body =
            json!({"items": [{"sku": mug.sku, "quantity": 2}, {"sku": lamp.sku, "quantity": 1}]});
        let told = shop.post("/v1/availability", &body).await.with(200);
        let expected = json!({"available": false, "items": [
            {"sku": mug.sku, "wanted": 2, "available": 3},
            {"sku": lamp.sku, "wanted": 1, "available": 0}]});
        assert_eq!(told, expected);

        let product = shop.get(&format!("/v1/products/{}", mug.sku)).await.with(200);
        assert_eq!(
            (&product["available"], &product["price"]["amount"]),
            (&json!(3), &json!("1.00"))
        );
        let body = json!({"name": "Red mug", "price": {"amount": "1.50", "currency": "USD"}});
        shop.put(&format!("/v1/products/{}", mug.sku), &body).await.with(200);

        let customer = shop.welcomes("12.50").await;
        let account = shop.get(&format!("/v1/accounts/{}", customer.id)).await.with(200);
        assert_eq!(
            shop.get(&format!("/v1/accounts/{}/balance", customer.id)).await.with(200),
            account
        );
        assert_eq!(account["balance"], json!({"amount": "12.50", "currency": "USD"}));
        let entries = shop.get(&format!("/v1/accounts/{}/entries", customer.id)).await.with(200);
        let entry = &entries["items"][0];
        assert_eq!(
            (&entry["kind"], &entry["debit"], &entry["credit"]),
            (&json!("deposit"), &json!("outside"), &json!("available"))
        );

        let stock = |delta: i64| json!({"warehouse": "main", "delta": delta, "reason": "lost"});
        let order = shop.place(customer.wants(2, &mug)).await;
        shop.the("reservations", &order, "held").await;
        let path = format!("/v1/products/{}/stock", mug.sku);
        shop.post(&path, &stock(-2)).await.refused(409, "stock_reserved");
        shop.post(&path, &stock(-1)).await.with(200);
        shop.expect_shelf(&mug, 2, 2, 0).await;
    });
}

#[test]
fn a_line_is_split_where_one_warehouse_has_too_little() {
    in_the_shop(async |shop| {
        let mug = shop.lists("1.00", 3).await;
        let far = shop.a_name("far");
        shop.put(&format!("/v1/warehouses/{far}"), &json!({"name": "Far", "priority": 900}))
            .await
            .with(201);
        let body = json!({"warehouse": far, "delta": 4, "reason": "received"});
        shop.post(&format!("/v1/products/{}/stock", mug.sku), &body).await.with(200);

        let order = shop.place(shop.a_stranger().wants(5, &mug).by_card("tok_visa")).await;

        let reservation = shop.the("reservations", &order, "sold").await;
        let expected = json!([{"sku": mug.sku, "quantity": 2, "warehouse": far},
            {"sku": mug.sku, "quantity": 3, "warehouse": "main"}]);
        assert_eq!(sorted(&reservation["items"]), sorted(&expected));
        shop.expect_shelf(&mug, 2, 0, 5).await;
    });
}

fn sorted(items: &Value) -> Vec<String> {
    let mut items: Vec<_> = items.as_array().unwrap().iter().map(ToString::to_string).collect();
    items.sort();
    items
}

#[test]
fn every_process_tells_that_it_is_well() {
    in_the_shop(async |shop| {
        let stack = shop.stack();
        for process in OURS.into_iter().filter(|name| *name != "outbox-relay") {
            // At its own port the sink takes mails.
            let address = match process {
                "smtp-sink" => format!("http://127.0.0.1:{}", stack.ports().unwrap().messages()),
                _ => stack.service(process).unwrap(),
            };
            let url = format!("{address}/health");
            let health = shop.ask_at("GET", &url).await.with(200);
            assert_eq!(health, json!({"status": "healthy", "service": process}));
        }
        for process in
            ["gateway", "order-svc", "payment-svc", "inventory-svc", "notify-svc", "outbox-relay"]
        {
            for probe in ["livez", "readyz", "metrics"] {
                let url = format!("{}/{probe}", stack.private(process).unwrap());
                assert_eq!(shop.ask_at("GET", &url).await.status, 200, "{url}");
            }
        }
    });
}
