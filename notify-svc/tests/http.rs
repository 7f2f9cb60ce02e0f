//! Requests and their answers, through the edge and a batch.

use std::sync::Arc;

use axum::http::StatusCode;
use mailbox::Mailbox;
use notify_svc::{
    carriers::guard::AddressPolicy,
    http::{AppState, router},
    reactions::Notify,
};
use serde_json::{Value, json};
use service_kit::testing::TestClient;
use tokio::task::JoinSet;

use super::{Shop, a_shop, an_order};

/// The service's HTTP side, with commands but without Kafka.
pub(crate) struct Server {
    pub(crate) shop: Shop,
    pub(crate) http: TestClient,
    pub(crate) mailbox: Mailbox<Notify>,
    _running: JoinSet<anyhow::Result<()>>,
}

pub(crate) async fn a_server() -> Server {
    a_server_for(AddressPolicy::Any).await
}

/// A server whose webhooks may lead to these addresses.
pub(crate) async fn a_server_for(addresses: AddressPolicy) -> Server {
    let shop = a_shop().await;
    let (mailbox, running) = shop.running().await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let counting = chassis::database::connect_pool(&shop.database.url(), 1).await.unwrap();
    let (both, templates) = (mailbox.clone(), Arc::default());
    let state = AppState { pool, mailbox: both, templates, addresses, counting };
    let router = router(state);
    let http = TestClient::new(notify_svc::NAME, router);
    Server { shop, http, mailbox, _running: running }
}

impl Server {
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.http.get(path).await;
        (response.status, response.body)
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.http.put(path, body).await;
        (response.status, response.body)
    }
}

#[tokio::test]
async fn a_contact_that_was_put_is_where_the_mail_goes() {
    let mut server = a_server().await;
    let order = an_order();
    let body = json!({"email": "jane@shop.example", "language": "en"});

    let (status, told) = server.put("/v1/customers/customer-456/contact", body).await;
    let confirmed = server.shop.confirmed(order);
    server.shop.hear([confirmed]).await;

    assert_eq!(status, 200);
    assert_eq!(
        told,
        json!({"customer_id": "customer-456", "email": "jane@shop.example", "phone": null,
               "push_token": null, "language": "en"})
    );
    let (_, list) = server.get(&format!("/v1/notifications?order_id={order}")).await;
    let item = &list["items"][0];
    assert_eq!(item["to"], "j***@shop.example");
    assert_eq!(
        (&item["status"], &item["template"]),
        (&json!("queued"), &json!("order_confirmation"))
    );
    assert_eq!((&item["channel"], &item["attempts"]), (&json!("email"), &json!(0)));
    let id = item["id"].as_str().unwrap();
    assert_eq!(
        server.get(&format!("/v1/notifications/{id}")).await,
        (StatusCode::OK, item.clone())
    );
}

#[tokio::test]
async fn the_notifications_of_an_order_are_read_page_by_page() {
    let mut server = a_server().await;
    let order = an_order();
    let messages =
        [server.shop.confirmed(order), server.shop.cancelled(order), server.shop.refunded(order)];
    server.shop.hear(messages).await;

    let first = format!("/v1/notifications?order_id={order}&limit=2");
    let (_, page) = server.get(&first).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, rest) = server.get(&format!("{first}&cursor={cursor}")).await;

    let templates = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["template"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(templates(&page), ["order_confirmation", "order_cancelled"]);
    assert_eq!(templates(&rest), ["payment_refunded"]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let (status, told) = server.get(&format!("{first}&cursor=abc")).await;
    assert_eq!((status.as_u16(), &told["code"]), (400, &json!("bad_cursor")));
}

/// Limits count characters, not bytes: a customer may write in any script.
#[tokio::test]
async fn texts_are_bounded_in_characters() {
    let mut server = a_server().await;
    let path = "/v1/customers/customer-456/contact";
    let text = |count: usize| "é".repeat(count);
    let address = |count: usize| format!("jane@{}.example", "a.".repeat(count / 2 - 8) + "abc");
    let contact = |email: usize, phone: usize, token: usize, language: usize| {
        json!({"email": address(email), "phone": "1".repeat(phone),
            "push_token": text(token), "language": text(language)})
    };

    let (status, told) = server.put(path, contact(200, 15, 200, 35)).await;
    assert_eq!(status, 200, "{told}");
    let confirmed = server.shop.confirmed(an_order());
    server.shop.hear([confirmed]).await;
    assert_eq!(server.shop.handed()[0].to.as_deref(), Some(address(200).as_str()));

    let (status, told) = server.put(path, contact(202, 16, 201, 36)).await;
    let mut pointers: Vec<_> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["code"].as_str().unwrap(), error["pointer"].as_str().unwrap()))
        .collect();
    pointers.sort_unstable();
    assert_eq!(status, 422);
    let wanted = ["/email", "/language", "/phone", "/push_token"];
    assert_eq!(pointers, wanted.map(|pointer| ("invalid_value", pointer)));
}

#[tokio::test]
async fn a_contact_is_shown_and_replaced_only_as_it_was_seen() {
    let server = a_server().await;
    let path = "/v1/customers/customer-456/contact";
    assert_eq!(server.http.get(path).await.code(), (404, "not_found"));
    assert_eq!(server.http.get("/v1/customers/a%20b/contact").await.code(), (404, "not_found"));
    let body = json!({"email": "jane@shop.example", "language": "ru"});
    let (_, put) = server.put(path, body).await;

    let shown = server.http.get(path).await;
    let tag = shown.header("etag").to_owned();
    let same = server.http.ask("GET", path, &[("if-none-match", &tag)], None).await;
    let new = json!({"phone": "+4930123"});
    let fresh = server.http.ask("PUT", path, &[("if-match", &tag)], Some(&new)).await;
    let stale = server.http.ask("PUT", path, &[("if-match", &tag)], Some(&new)).await;

    assert_eq!((shown.status.as_u16(), &shown.body), (200, &put));
    assert_eq!(same.status, 304);
    assert_eq!((fresh.status.as_u16(), &fresh.body["email"]), (200, &Value::Null));
    assert_eq!(stale.code(), (412, "stale"));
}

#[tokio::test]
async fn a_customer_nobody_can_reach_is_told_so_by_the_notification() {
    let mut server = a_server().await;
    let order = an_order();

    let confirmed = server.shop.confirmed(order);
    server.shop.hear([confirmed]).await;

    let (_, list) = server.get(&format!("/v1/notifications?order_id={order}")).await;
    let item = &list["items"][0];
    assert_eq!((&item["status"], &item["failure"]), (&json!("failed"), &json!("no_address")));
    assert_eq!(item["to"], Value::Null);
}

#[tokio::test]
async fn bad_input_gets_its_code() {
    let server = a_server().await;
    let path = "/v1/customers/customer-456/contact";

    for (body, code) in [
        (json!({"email": "nobody"}), "invalid_value"),
        (json!({"email": 7}), "invalid_value"),
        (json!({"email": ""}), "invalid_value"),
        (json!({"phone": "call me"}), "invalid_value"),
        (json!({"push_token": "a\r\nb"}), "invalid_value"),
        (json!({"fax": "1"}), "unknown_field"),
        (json!([]), "invalid_value"),
    ] {
        let (status, told) = server.put(path, body).await;
        assert_eq!((status.as_u16(), &told["code"]), (422, &json!(code)));
    }
    for (path, wanted) in [
        ("/v1/notifications", (400, "bad_parameter")),
        ("/v1/notifications?order_id=7", (400, "bad_parameter")),
        ("/v1/notifications/7", (404, "not_found")),
        ("/v1/notifications/01932c1e-0000-7000-8000-000000000000", (404, "not_found")),
        ("/v1/parked/notify-svc/shop.orders.v1/none", (404, "not_found")),
    ] {
        let (status, told) = server.get(path).await;
        assert_eq!((status.as_u16(), told["code"].as_str().unwrap()), wanted, "{path}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    let server = a_server().await;
    let of_order = format!("/v1/notifications?order_id={}&", an_order());
    for (path, kind, place) in [
        (of_order.as_str(), "notifications", json!("\0")),
        (of_order.as_str(), "notifications", json!(u64::MAX)),
        (of_order.as_str(), "notifications", json!(i64::MAX)),
        (of_order.as_str(), "notifications", json!("ffffffff-ffff-4fff-bfff-ffffffffffff")),
        (of_order.as_str(), "operations", json!("01932c1e-0000-7000-8000-000000000000")),
        ("/v1/operations?", "operations", json!("\0")),
        ("/v1/operations?", "operations", json!(u64::MAX)),
        ("/v1/consumers?", "consumers", json!(["\0", 1])),
        ("/v1/consumers?", "consumers", json!(["shop.orders.v1", i64::MAX])),
        ("/v1/parked?", "parked", json!([i64::MAX, "t", "k"])),
        ("/v1/parked?", "parked", json!([i64::MIN, "t", "k"])),
        ("/v1/parked?", "parked", json!([1, "t", "\0"])),
    ] {
        let cursor = chassis::http::write_cursor(kind, &place);
        let (status, told) = server.get(&format!("{path}cursor={cursor}")).await;
        let code = told["code"].as_str().unwrap_or_default();
        assert_eq!((status.as_u16(), code), (400, "bad_cursor"), "{path} {place}");
    }
}
