//! The sweep for unpaid orders cancels an order whose time to pay is over, and no other.

use std::time::Duration;

use backends::testing::eventually;
use order_svc::{deadlines, domain::Method};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http::{Server, a_server};

#[tokio::test]
async fn the_sweep_ends_what_is_due_and_leaves_what_is_paid() {
    let Server { mut shop, mailbox, commands: _commands, .. } = a_server().await;
    let (late, young) = (shop.place(Method::Deferred).await, shop.place(Method::Deferred).await);
    let paid = shop.place(Method::Wallet).await;
    let messages = [shop.reserved(late), shop.reserved(young), shop.reserved(paid)];
    shop.hear(messages).await;
    let captured = shop.captured(paid);
    shop.hear([captured]).await;
    for text in [
        "update orders set reserved_at = reserved_at - interval '1 hour' where order_id = $1",
        "update order_deadlines set due_at = due_at - interval '1 hour' where order_id = $1",
    ] {
        let late = sqlx::query_scalar::<_, i32>(text).bind(late.uuid());
        late.fetch_optional(shop.db().await).await.unwrap();
    }

    let pool = chassis::database::connect_pool(&shop.database.url(), 2).await.unwrap();
    let over = CancellationToken::new();
    let every = Duration::from_millis(20);
    let mut sweep = JoinSet::new();
    sweep.spawn(deadlines::sweep(pool, mailbox, every, over.clone()));
    let shop = tokio::sync::Mutex::new(shop);
    eventually("the late order is cancelled", Duration::from_secs(10), async || {
        let status = shop.lock().await.status(late).await;
        if status == "cancelled" { Ok(()) } else { Err(status) }
    })
    .await;
    over.cancel();
    sweep.join_next().await.unwrap().unwrap().unwrap();

    let mut shop = shop.into_inner();
    assert_eq!(shop.status(young).await, "payment_pending");
    assert_eq!(shop.status(paid).await, "confirmed");
    assert_eq!(shop.count("order_deadlines").await, 1);
}
