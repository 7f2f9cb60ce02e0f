//! What other services expect of this one, and this one of them: shown without them.

use mailbox::{Reactor as _, testing::new_id};
use order_svc::{
    domain::Method,
    input::{Change, Input, Source},
    reactions::Orders,
    wire::decode,
};
use proto::{OrderId, topic};
use service_kit::testing::{
    answers::assert_answered,
    expectations::{assert_met, assert_sufficient, of},
};

use super::{
    a_shop,
    http::{a_server, id_of, two_mugs},
};

#[tokio::test]
async fn what_is_said_is_what_others_expect() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Card).await;
    let (reserved, captured) = (shop.reserved(order), shop.captured(order));
    shop.hear([reserved, captured]).await;
    assert_eq!(shop.ship(order).await.status, 200);
    assert_eq!(shop.change(order, Change::Deliver).await.status, 200);
    let deferred = shop.place(Method::Deferred).await;
    let reserved = shop.reserved(deferred);
    shop.hear([reserved]).await;
    assert_eq!(shop.amend(deferred, 1).await.status, 200);
    assert_eq!(shop.cancel(deferred).await.status, 200);

    assert_met(order_svc::NAME, &shop.mailbox.outbox().await);
}

#[test]
fn only_the_notes_of_mails_may_linger() {
    for expected in of(order_svc::NAME) {
        let sample = expected.message(&OrderId::new(new_id()).to_string(), 1);
        let is_note = matches!(
            decode(&sample),
            Ok(Some(Input::Heard(fact))) if fact.source == Source::Notifications
        );
        let may_linger = Orders::default().may_linger(&sample.event_type);
        assert_eq!(may_linger, is_note, "{}", sample.event_type);
    }
}

#[tokio::test]
async fn what_is_expected_of_others_is_all_that_is_read() {
    for expected in of(order_svc::NAME) {
        let mut shop = a_shop().await;
        let key = if expected.event.topic == topic::CATALOGUE {
            "pot".to_owned()
        } else {
            shop.place(Method::Card).await.to_string()
        };
        assert_sufficient(&expected, &mut shop.mailbox, expected.message(&key, 1)).await;
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_gateway_expects() {
    let server = a_server().await;
    let order = id_of(&server.http.post("/v1/orders", two_mugs()).await).to_string();
    assert_answered(order_svc::NAME, &server.http, &order).await;
}
