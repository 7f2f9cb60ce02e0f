//! What other services expect of this one, and this one of them: shown without them.

use inventory_svc::input::Input;
use service_kit::testing::{
    answers::assert_answered,
    expectations::{assert_met, assert_sufficient, of},
};

use super::{a_shop, an_order, http::a_server};

#[tokio::test]
async fn what_is_said_is_what_others_expect() {
    let mut shop = a_shop().await.with_stock("mug", 5).await;
    let (held, large) = (an_order(), an_order());
    let placed = shop.placed(held, &[("mug", 2)]);
    shop.hear([placed]).await;
    let late = "update reservation_waits set expires_at = '2020-01-01';
        update reservations set expires_at = '2020-01-01'";
    sqlx::raw_sql(late).execute(shop.mailbox.db().await).await.unwrap();
    shop.mailbox.tell(Input::HoldRanOut(held)).await;
    let messages = [shop.cancelled(held), shop.placed(large, &[("mug", 9)])];
    shop.hear(messages).await;

    assert_met(inventory_svc::NAME, &shop.mailbox.outbox().await);
}

#[tokio::test]
async fn what_is_expected_of_others_is_all_that_is_read() {
    let expectations = of(inventory_svc::NAME);
    let placed = expectations.iter().find(|it| it.event.name == "OrderPlaced").unwrap();
    for expected in &expectations {
        let mut shop = a_shop().await.with_stock("mug", 5).await;
        let order = an_order().to_string();
        if expected.event.name == "OrderConfirmed" {
            shop.hear([placed.message(&order, 1)]).await;
        }
        assert_sufficient(expected, &mut shop.mailbox, expected.message(&order, 2)).await;
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_gateway_expects() {
    let server = a_server().await;
    assert_answered(inventory_svc::NAME, &server.http, "").await;
}
