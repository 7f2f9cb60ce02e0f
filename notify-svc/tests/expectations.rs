//! What other services expect of this one, and this one of them: shown without them.

use notify_svc::{
    input::{DeliveryEnd, Input},
    wire::{decode, is_only_kept},
};
use service_kit::testing::{
    answers::assert_answered,
    expectations::{assert_met, assert_sufficient, of},
};

use super::{a_shop, an_order, http::a_server};

#[tokio::test]
async fn what_is_said_is_what_others_expect() {
    let mut shop = a_shop().await;
    // Nobody has left an address yet.
    let confirmed = shop.confirmed(an_order());
    shop.hear([confirmed]).await;
    let mut shop = shop.with_contact().await;
    let order = an_order();
    let confirmed = shop.confirmed(order);
    shop.hear([confirmed]).await;
    let id = shop.handed()[0].id;
    let end = DeliveryEnd { id, order: Some(order), attempts: 1, outcome: Ok(None) };
    shop.mailbox.tell(Input::Ended(Box::new(end))).await;

    assert_met(notify_svc::NAME, &shop.mailbox.outbox().await);
}

#[test]
fn only_what_customers_are_told_of_is_in_a_hurry() {
    for expected in of(notify_svc::NAME) {
        let sample = expected.message(&an_order().to_string(), 1);
        let is_told = matches!(decode(&sample), Ok(Some(Input::Heard(_))));
        assert_eq!(is_only_kept(&sample.event_type), !is_told, "{}", sample.event_type);
    }
}

#[tokio::test]
async fn what_is_expected_of_others_is_all_that_is_read() {
    for expected in of(notify_svc::NAME) {
        let mut shop = a_shop().await.with_contact().await;
        let sample = expected.message(&an_order().to_string(), 1);
        assert_sufficient(&expected, &mut shop.mailbox, sample).await;
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_gateway_expects() {
    let server = a_server().await;
    assert_answered(notify_svc::NAME, &server.http, "").await;
}
