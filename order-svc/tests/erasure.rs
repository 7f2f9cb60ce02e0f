//! Erasure: what people wrote about a customer's orders is nowhere any more.

use serde_json::{Value, json};

use super::http::{Server, a_server, id_of, two_mugs};

async fn is_found(server: &mut Server, text: &str) -> bool {
    let dump = server.shop.mailbox.dump().await;
    dump.values().flatten().any(|row| row.contains(text))
}

#[tokio::test]
async fn what_people_wrote_is_erased_once_and_the_orders_stay() {
    let mut server = a_server().await;
    let key = [("idempotency-key", "k")];
    let mut order = two_mugs();
    order["note"] = json!("canary behind the door");
    let placed = server.http.post_with("/v1/orders", &key, &order).await;
    let at = format!("/v1/orders/{}", id_of(&placed));
    let words = json!({"reason": "my canary died"});
    assert_eq!(server.http.post(&format!("{at}/cancel"), &words).await.status, 200);
    order["customer_id"] = json!("customer-4567");
    order["note"] = json!("somebody else's");
    server.http.post_with("/v1/orders", &[("idempotency-key", "other")], &order).await;
    assert!(is_found(&mut server, "canary").await);

    let path = "/v1/customers/customer-456";
    let erased = server.http.ask("DELETE", path, &[], None).await;
    let again = server.http.ask("DELETE", path, &[], None).await;

    assert_eq!((erased.status.as_u16(), erased.body), (200, json!({"erased": {"orders": 1}})));
    assert_eq!(again.body, json!({"erased": {"orders": 0}}));
    assert!(!is_found(&mut server, "canary").await);
    assert!(is_found(&mut server, "somebody else").await);
    let read = server.http.get(&at).await.body;
    assert_eq!((&read["note"], &read["customer_id"]), (&json!(""), &json!("customer-456")));
    assert_eq!(read["cancellation"]["detail"], Value::Null);
    let malformed = server.http.ask("DELETE", "/v1/customers/a%20b", &[], None).await;
    assert_eq!(malformed.code(), (404, "not_found"));
}
