//! What other services expect of this one, and this one of them: shown without them.

use inventory_svc::{domain::Event, input::Input, reactions::Inventory, wire::decode};
use mailbox::Reactor as _;
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

#[test]
fn only_the_sale_of_held_pieces_may_linger() {
    let hold = time::Duration::HOUR;
    for expected in of(inventory_svc::NAME) {
        let sample = expected.message(&an_order().to_string(), 1);
        let is_sale = matches!(
            decode(&sample, hold),
            Ok(Some(Input::Heard(fact))) if matches!(fact.event, Event::OrderConfirmed { .. })
        );
        let may_linger = Inventory { hold }.may_linger(&sample.event_type);
        assert_eq!(may_linger, is_sale, "{}", sample.event_type);
    }
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
