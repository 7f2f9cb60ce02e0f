//! What other services expect of this one, and this one of them: shown without them.

use payment_svc::{
    domain::{ChargeOutcome, Event},
    input::Input,
};
use proto::OrderId;
use service_kit::testing::{
    answers::assert_answered,
    expectations::{assert_met, assert_sufficient, of},
};

use super::{Shop, a_shop, an_order, by_card, by_wallet, server::a_server};

async fn answered(shop: &mut Shop, order: OrderId, event: Event) {
    shop.tell(Input::Answered { order, event, attempts: 0, trace: None }).await;
}

#[tokio::test]
async fn what_is_said_is_what_others_expect() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    // Captured and given back; declined; never charged.
    let (paid, poor, early) = (an_order(), an_order(), an_order());
    let messages = [
        shop.reserved(paid, by_wallet("c-1", "20.00")),
        shop.cancelled(paid),
        shop.reserved(poor, by_wallet("c-1", "70.00")),
        shop.cancelled(early),
    ];
    shop.hear(messages).await;
    // The provider keeps a cancelled order's money.
    let kept = an_order();
    let reserved = shop.reserved(kept, by_card(kept, "tok_visa", "20.00"));
    shop.hear([reserved]).await;
    let outcome = ChargeOutcome::Captured { reference: "ch-1".into(), face: None };
    answered(&mut shop, kept, Event::ChargeAnswered { revision: 1, outcome }).await;
    let cancelled = shop.cancelled(kept);
    shop.hear([cancelled]).await;
    let refused = Event::RefundRefused { number: 1, reason: "too late".into() };
    answered(&mut shop, kept, refused).await;

    assert_met(payment_svc::NAME, &shop.mailbox.outbox().await);
}

#[tokio::test]
async fn what_is_expected_of_others_is_all_that_is_read() {
    for expected in of(payment_svc::NAME) {
        let mut shop = a_shop().await;
        let sample = expected.message(&an_order().to_string(), 1);
        assert_sufficient(&expected, &mut shop.mailbox, sample).await;
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_gateway_expects() {
    let server = a_server().await;
    assert_answered(payment_svc::NAME, &server.http, "").await;
}
