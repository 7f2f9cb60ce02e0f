//! Erasure: what people wrote about a customer's orders is nowhere any more.

use std::time::Duration;

use backends::testing::eventually;
use serde_json::{Value, json};
use service_kit::testing::is_found;
use sqlx::AssertSqlSafe;

use super::http::{a_server, id_of, two_mugs};

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
    assert!(is_found(&mut server.shop.mailbox, "canary").await);

    let path = "/v1/customers/customer-456";
    let erased = server.http.ask("DELETE", path, &[], None).await;
    let again = server.http.ask("DELETE", path, &[], None).await;

    assert_eq!((erased.status.as_u16(), erased.body), (200, json!({"erased": {"orders": 1}})));
    assert_eq!(again.body, json!({"erased": {"orders": 0}}));
    assert!(!is_found(&mut server.shop.mailbox, "canary").await);
    assert!(is_found(&mut server.shop.mailbox, "somebody else").await);
    let read = server.http.get(&at).await.body;
    assert_eq!((&read["note"], &read["customer_id"]), (&json!(""), &json!("customer-456")));
    assert_eq!(read["cancellation"]["detail"], Value::Null);
    let malformed = server.http.ask("DELETE", "/v1/customers/a%20b", &[], None).await;
    assert_eq!(malformed.code(), (404, "not_found"));
}

/// A batch that has read a note before it was erased keeps it in an answer afterwards, and one that
/// knows of no words yet writes the first.
#[tokio::test]
async fn what_was_under_way_is_erased_too() {
    let mut server = a_server().await;
    let mut order = two_mugs();
    order["note"] = Value::Null;
    let bare = id_of(&server.http.post("/v1/orders", &order).await);
    order["note"] = json!("canary behind the door");
    let noted = id_of(&server.http.post("/v1/orders", &order).await);
    let pool = chassis::database::connect_pool(&server.shop.database.url(), 1).await.unwrap();
    let mut batch = pool.begin().await.unwrap();
    let written = format!(
        r#"insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
           values ('ann', 'POST /v1/orders/{noted}/ship', 'k', '', 200, '[]',
             '{{"customer_id":"customer-456","note":"canary behind the door"}}');
           insert into order_texts (order_id, cancel_words) values ('{bare}', 'my canary died')"#
    );
    sqlx::raw_sql(AssertSqlSafe(written)).execute(&mut *batch).await.unwrap();

    let committed = async {
        let path = format!("/v1/orders/{noted}");
        eventually("the note's end", Duration::from_secs(20), async || {
            let told = server.http.get(&path).await.body;
            if told["note"] == "" { Ok(()) } else { Err(told) }
        })
        .await;
        batch.commit().await.unwrap();
    };
    let erasure = server.http.ask("DELETE", "/v1/customers/customer-456", &[], None);
    let (erased, ()) = tokio::join!(erasure, committed);

    assert_eq!(erased.body, json!({"erased": {"orders": 2}}));
    assert!(!is_found(&mut server.shop.mailbox, "canary").await);
}

#[tokio::test]
async fn an_erasure_that_cannot_see_the_end_of_what_is_under_way_is_to_be_repeated() {
    let server = a_server().await;
    let pool = chassis::database::connect_pool(&server.shop.database.url(), 1).await.unwrap();
    let mut batch = pool.begin().await.unwrap();
    sqlx::raw_sql("select pg_current_xact_id()").execute(&mut *batch).await.unwrap();

    let path = "/v1/customers/customer-456";
    let refused = server.http.ask("DELETE", path, &[], None).await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "overloaded"), "1"));
    batch.rollback().await.unwrap();
    assert_eq!(server.http.ask("DELETE", path, &[], None).await.status, 200);
}
