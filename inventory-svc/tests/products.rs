//! Products over HTTP: their currency, what is announced of their stock, and how they are found.

use serde_json::json;

use super::http::a_server;

#[tokio::test]
async fn a_product_keeps_its_currency_whatever_a_change_says() {
    let server = a_server().await;
    let path = "/v1/products/mug";
    let euros = json!({"name": "Mug", "price": {"amount": "9.00", "currency": "EUR"}});
    assert_eq!(server.http.put(path, euros).await.status, 201);

    let bare = server.http.put(path, json!({"name": "Mug", "price": "12.00"})).await;
    assert_eq!(bare.body["price"], json!({"amount": "12.00", "currency": "EUR"}));
    let pounds = json!({"name": "Mug", "price": {"amount": "8.00", "currency": "GBP"}});
    let refused = server.http.put(path, pounds).await;
    assert_eq!(refused.code(), (422, "invalid_value"));
    assert_eq!(refused.body["errors"][0]["pointer"], "/price/currency");
    assert_eq!(server.http.get(path).await.body["price"], bare.body["price"]);

    let yen = json!({"name": "Fan", "price": {"amount": "300", "currency": "JPY"}});
    assert_eq!(server.http.put("/v1/products/fan", yen).await.status, 201);
    let refused =
        server.http.put("/v1/products/fan", json!({"name": "Fan", "price": "300.50"})).await;
    assert_eq!(refused.code(), (422, "too_many_decimals"), "judged by the product's currency");
    let other = server.http.put("/v1/products/pot", json!({"name": "Pot", "price": "1"})).await;
    assert_eq!(other.body["price"]["currency"], "USD", "a new one is in dollars");
}

#[tokio::test]
async fn what_staff_put_on_a_shelf_is_said_at_once() {
    let mut server = a_server().await;
    server.list_mug().await;
    let path = "/v1/products/mug/stock";
    for delta in [20_000, 9, -3, 0] {
        let told = server.http.post(path, json!({"warehouse": "main", "delta": delta})).await;
        assert_eq!(told.status, 200);
    }

    let said: Vec<_> = server.shop.outbox().await;
    let available: Vec<_> =
        said.iter().filter_map(|event| event.to_json()["available"].as_i64()).collect();
    assert_eq!(available.last(), Some(&20_006));
    assert_eq!(said.len(), 4, "a change of nothing is no news: {available:?}");
    assert_eq!(server.http.get("/v1/products/mug").await.body["version"], 4);
}

#[tokio::test]
async fn products_are_found_however_they_are_written() {
    let server = a_server().await;
    for (sku, name) in [("road", "Straße"), ("cup", "Cafe\u{301}"), ("mug", "Blue mug")] {
        let path = format!("/v1/products/{sku}");
        let told = server.http.put(&path, json!({"name": name, "price": "1"})).await;
        assert_eq!(told.status, 201);
    }

    for (query, found) in [
        ("q=STRASSE", &["road"][..]),
        ("q=CAF%C3%89", &["cup"]),
        ("q=caf%C3%A9", &["cup"]),
        ("q=u", &["cup", "mug"]),
        ("q=nothing", &[]),
        ("", &["cup", "mug", "road"]),
    ] {
        let mut skus = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.http.get(&format!("/v1/products?limit=1&{query}{cursor}")).await.body;
            let items = page["items"].as_array().unwrap();
            skus.extend(items.iter().map(|item| item["sku"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(skus, found, "{query}");
    }
}
