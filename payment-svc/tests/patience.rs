//! How long a client that pays waits for the outcome.

use std::time::Instant;

use serde_json::json;

use super::{
    an_order,
    server::a_server_with,
    stub::{Stub, Trouble},
};

/// Who does not say how long to wait is answered after ten seconds: long enough for a slow card,
/// and before the gateway gives up.
#[tokio::test]
async fn without_an_outcome_the_answer_comes_after_ten_seconds() {
    let server = a_server_with(Stub::with(&[Trouble::Silent])).await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let card = json!({"type": "card", "token": "tok_visa"});
    let body = json!({"order_id": order.to_string(), "payment_method": card});
    let began = Instant::now();

    let told = server.http.post("/v1/payments", body).await;

    let took = began.elapsed();
    assert_eq!((told.status.as_u16(), &told.body["status"]), (202, &json!("processing")));
    assert_eq!(told.header("preference-applied"), "", "nothing was asked for");
    assert!((10..14).contains(&took.as_secs()), "{took:?}");
}
