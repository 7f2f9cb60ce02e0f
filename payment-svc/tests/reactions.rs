//! Reactions: given rows, when a message comes, then rows and events.

use mailbox::testing::{reacts_once, reacts_whole};
use payment_svc::{
    domain::{ChargeOutcome, DeclineCode, Event, Instrument, Operation, payment_id},
    input::{Input, Request},
};
use proto::{
    OrderId,
    orders::PaymentMethod,
    payments::{self, payment_event},
};

use super::{
    LEASE, Shop, a_shop, an_order, body, by_card, by_wallet, customer, deferred, seal_key, usd,
};

fn answered(order: OrderId, event: Event) -> Input {
    Input::Answered { order, event, attempts: 0, trace: None }
}

fn captured(revision: u32) -> Event {
    let outcome = ChargeOutcome::Captured { reference: "ch-1".into(), face: None };
    Event::ChargeAnswered { revision, outcome }
}

pub(super) fn declined(revision: u32) -> Event {
    let code = DeclineCode::CardDeclined;
    let outcome = ChargeOutcome::Declined { code, detail: "the card was declined".into() };
    Event::ChargeAnswered { revision, outcome }
}

/// An order whose card is being charged.
async fn a_charging_order() -> (Shop, OrderId) {
    let mut shop = a_shop().await;
    let order = an_order();
    let reserved = shop.reserved(order, by_card(order, "tok_visa", "20.00"));
    shop.hear([reserved]).await;
    (shop, order)
}

#[tokio::test]
async fn a_wallet_pays_in_the_batch_that_hears_of_the_stock() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();

    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    shop.hear([reserved]).await;

    let said = shop.outbox().await;
    let [payment_event::Event::PaymentCaptured(captured)] = &said[..] else {
        panic!("not captured: {said:?}")
    };
    assert_eq!(captured.order_id, order.to_string());
    assert_eq!(captured.payment_id, payment_id(order).to_string());
    assert_eq!(captured.amount, Some(usd("20.00").into()));
    assert_eq!(captured.method(), PaymentMethod::Wallet);
    assert_eq!(shop.balance("c-1").await, (usd("30.00"), usd("0")));
    assert_eq!(
        shop.ledger("c-1").await,
        ["deposit outside→available 50.00", "capture available→shop 20.00"]
    );
    assert_eq!(shop.count("provider_calls").await, 0);
}

#[tokio::test]
async fn many_orders_of_one_customer_fold_in_one_batch_until_the_money_is_gone() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;

    let reserved: Vec<_> =
        (0..4).map(|_| shop.reserved(an_order(), by_wallet("c-1", "20.00"))).collect();
    shop.hear(reserved).await;

    let told = shop.told().await;
    let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["PaymentCaptured", "PaymentCaptured", "PaymentDeclined", "PaymentDeclined"]);
    assert_eq!(shop.balance("c-1").await, (usd("10.00"), usd("0")));
}

#[tokio::test]
async fn a_wallet_that_cannot_pay_says_why() {
    let mut shop = a_shop().await.with_account("c-1", "10.00").await;
    let euro = proto::money::Money { currency_code: "EUR".to_owned(), units: 5, nanos: 0 };
    let mut foreign = by_wallet("c-1", "5.00");
    foreign.amount = Some(euro);

    let all = [by_wallet("c-1", "10.01"), by_wallet("nobody", "1.00"), foreign];
    let all: Vec<_> = all.into_iter().map(|terms| shop.reserved(an_order(), terms)).collect();
    shop.hear(all).await;

    let codes: Vec<_> = shop.outbox().await.iter().map(decline_code).collect();
    assert_eq!(
        codes,
        [
            payments::DeclineCode::InsufficientFunds,
            payments::DeclineCode::NoAccount,
            payments::DeclineCode::CurrencyMismatch
        ]
    );
}

pub(super) fn decline_code(event: &payment_event::Event) -> payments::DeclineCode {
    match event {
        payment_event::Event::PaymentDeclined(declined) => declined.code(),
        other => panic!("not declined: {other:?}"),
    }
}

#[tokio::test]
async fn a_cancelled_wallet_payment_goes_back_once() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    shop.hear([reserved]).await;

    let (first, second) = (shop.cancelled(order), shop.cancelled(order));
    shop.hear([first]).await;
    shop.hear([second]).await;

    assert_eq!(shop.told().await, [("PaymentCaptured", 1), ("PaymentRefunded", 2)]);
    assert_eq!(shop.balance("c-1").await, (usd("50.00"), usd("0")));
    assert_eq!(shop.ledger("c-1").await[2], "refund shop→available 20.00");
}

#[tokio::test]
async fn a_cancel_that_comes_first_leaves_a_tombstone() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();

    let cancelled = shop.cancelled(order);
    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    shop.hear([cancelled]).await;
    shop.hear([reserved]).await;

    let said = shop.outbox().await;
    let [payment_event::Event::PaymentVoided(voided)] = &said[..] else {
        panic!("not voided: {said:?}")
    };
    assert_eq!(voided.payment_id, "");
    assert_eq!(shop.balance("c-1").await, (usd("50.00"), usd("0")));
}

#[tokio::test]
async fn the_whole_life_of_an_order_fits_into_one_batch() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();

    let reserved = shop.reserved(order, by_wallet("c-1", "20.00"));
    let cancelled = shop.cancelled(order);
    shop.hear([reserved, cancelled]).await;

    assert_eq!(shop.told().await, [("PaymentCaptured", 1), ("PaymentRefunded", 2)]);
    assert_eq!(shop.balance("c-1").await, (usd("50.00"), usd("0")));
}

#[tokio::test]
async fn a_cards_charge_is_a_leased_row_and_is_handed_over() {
    let (mut shop, order) = a_charging_order().await;

    assert_eq!(shop.told().await, []);
    let handed = shop.calls.try_recv().unwrap();
    assert_eq!(handed.call.key(), format!("{order}.charge.1"));
    assert!(matches!(handed.call.operation, Operation::Charge { ref token, .. }
        if token.expose() == "tok_visa"));
    let db = shop.mailbox.db().await;
    let left = payment_svc::store::provider_calls::lease(db, LEASE, 10, &seal_key()).await.unwrap();
    assert!(left.is_empty(), "it is leased to the process that decided it");
    assert_eq!(shop.count("provider_calls").await, 1);
}

#[tokio::test]
async fn a_captured_charge_of_a_cancelled_order_is_given_back_before_the_cancel_is_answered() {
    let (mut shop, order) = a_charging_order().await;
    let cancelled = shop.cancelled(order);
    shop.hear([cancelled]).await;
    assert_eq!(shop.told().await, [], "the charge may yet bring money");

    shop.tell(answered(order, captured(1))).await;
    assert_eq!(shop.told().await, [("PaymentCaptured", 1)]);
    let refund = shop.calls.try_recv().and_then(|_| shop.calls.try_recv()).unwrap();
    assert_eq!(refund.call.key(), format!("{order}.refund.1"));
    assert_eq!(shop.count("provider_calls").await, 1);

    for _ in 0..2 {
        shop.tell(answered(order, Event::RefundAnswered { number: 1 })).await;
    }
    assert_eq!(shop.told().await, [("PaymentCaptured", 1), ("PaymentRefunded", 2)]);
    assert_eq!(shop.count("provider_calls").await, 0);
}

#[tokio::test]
async fn a_declined_charge_makes_room_for_the_revision_heard_meanwhile() {
    let (mut shop, order) = a_charging_order().await;
    let again = shop.reserved_again(order, 2, by_card(order, "tok_slow", "30.00"));
    shop.hear([again]).await;

    for _ in 0..2 {
        shop.tell(answered(order, declined(1))).await;
    }

    assert_eq!(shop.told().await, [("PaymentDeclined", 1)]);
    let second = shop.calls.try_recv().and_then(|_| shop.calls.try_recv()).unwrap();
    assert_eq!(second.call.key(), format!("{order}.charge.2"));
    assert_eq!(second.call.amount, usd("30.00"));
    assert_eq!(shop.count("provider_calls").await, 1);
}

#[tokio::test]
async fn a_deferred_order_waits_and_is_paid_on_request() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let reserved = shop.reserved(order, deferred("c-1", "20.00"));
    shop.hear([reserved]).await;
    assert_eq!(shop.told().await, []);

    let pay = Request::Pay { order, instrument: Instrument::Wallet, amount: None, trace: None };
    let paid = shop.ask(pay.clone()).await;

    assert_eq!((paid.status, &body(&paid)["status"]), (201, &"captured".into()));
    assert_eq!(shop.told().await, [("PaymentCaptured", 1)]);
    let again = shop.ask(pay).await;
    assert_eq!((again.status, &body(&again)["code"]), (409, &"already_paid".into()));
}

#[tokio::test]
async fn what_is_held_for_an_order_pays_it_first() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let order = an_order();
    let hold = Request::Hold { customer: customer("c-1"), order, amount: usd("40.00").into() };
    assert_eq!(shop.ask(hold.clone()).await.status, 201);
    assert_eq!(shop.ask(hold).await.status, 200);
    let refused = shop.reserved(an_order(), by_wallet("c-1", "20.00"));
    shop.hear([refused]).await;

    let reserved = shop.reserved(order, by_wallet("c-1", "45.00"));
    shop.hear([reserved]).await;

    assert_eq!(shop.told().await, [("PaymentDeclined", 1), ("PaymentCaptured", 1)]);
    assert_eq!(shop.balance("c-1").await, (usd("5.00"), usd("0")));
    assert_eq!(
        shop.ledger("c-1").await[1..],
        ["hold available→held 40.00", "capture held→shop 40.00", "capture available→shop 5.00"]
    );
    let release = Request::Release { customer: customer("c-1"), order };
    assert_eq!(shop.ask(release).await.status, 409);
}

#[tokio::test]
async fn a_hold_goes_back_when_its_order_is_cancelled_heard_of_or_not_or_paid_by_card() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    let (deferred_one, unheard, by_card_one) = (an_order(), an_order(), an_order());
    for order in [deferred_one, unheard, by_card_one] {
        let amount = usd("10.00").into();
        let hold = Request::Hold { customer: customer("c-1"), order, amount };
        assert_eq!(shop.ask(hold).await.status, 201);
    }
    let first = shop.reserved(deferred_one, deferred("c-1", "20.00"));
    let second = shop.reserved(by_card_one, by_card(by_card_one, "tok_visa", "20.00"));
    shop.hear([first, second]).await;
    assert_eq!(shop.balance("c-1").await, (usd("20.00"), usd("30.00")));

    let (first, second) = (shop.cancelled(deferred_one), shop.cancelled(unheard));
    shop.hear([first, second]).await;
    assert_eq!(shop.balance("c-1").await, (usd("40.00"), usd("10.00")));
    shop.tell(answered(by_card_one, captured(1))).await;

    assert_eq!(shop.balance("c-1").await, (usd("50.00"), usd("0")));
    let amount = usd("10.00").into();
    let late = Request::Hold { customer: customer("c-1"), order: unheard, amount };
    let refused = shop.ask(late).await;
    assert_eq!((refused.status, &body(&refused)["code"]), (409, &"not_payable".into()));
}

/// Another process took the call over: a late answer to the first process counts only if money
/// moved.
#[tokio::test]
async fn a_no_counts_from_whoever_holds_the_call_and_money_from_anybody() {
    for (late, told) in [(declined(1), vec![]), (captured(1), vec![("PaymentCaptured", 1)])] {
        let (mut shop, order) = a_charging_order().await;
        let over = "update provider_calls set attempts = 1";
        sqlx::raw_sql(over).execute(shop.mailbox.db().await).await.unwrap();

        shop.tell(answered(order, late)).await;

        assert_eq!(shop.told().await, told);
        assert_eq!(shop.count("provider_calls").await, i64::from(told.is_empty()));
    }
}

#[tokio::test]
async fn news_for_others_leaves_no_trace() {
    let mut shop = a_shop().await;
    let order = an_order();
    let order_id = order.to_string();
    let before = shop.mailbox.dump().await;

    let placed = proto::orders::OrderPlaced { order_id: order_id.clone(), ..Default::default() };
    let rejected = proto::stock::StockRejected { order_id, ..Default::default() };
    let news = [shop.said(order, placed), shop.said(order, rejected)];
    shop.hear(news).await;

    assert_eq!(shop.mailbox.dump().await, before);
}

#[tokio::test]
async fn stock_reserved_takes_effect_once_and_whole() {
    let mut shop = a_shop().await.with_account("c-1", "50.00").await;
    for terms in [by_wallet("c-1", "20.00"), by_wallet("c-1", "60.00"), deferred("c-1", "5.00")] {
        let once = shop.reserved(an_order(), terms.clone());
        reacts_once(&mut shop.mailbox, once).await;
        let whole = shop.reserved(an_order(), terms);
        reacts_whole(&mut shop.mailbox, whole).await;
    }
    for reacts in [true, false] {
        let order = an_order();
        let reserved = shop.reserved(order, by_card(order, "tok_visa", "20.00"));
        if reacts {
            reacts_once(&mut shop.mailbox, reserved).await;
        } else {
            reacts_whole(&mut shop.mailbox, reserved).await;
        }
    }
}

#[tokio::test]
async fn order_cancelled_takes_effect_once_and_whole() {
    let mut shop = a_shop().await.with_account("c-1", "500.00").await;
    for known in [true, false] {
        let (once, whole) = (an_order(), an_order());
        if known {
            let reserved =
                [once, whole].map(|order| shop.reserved(order, by_wallet("c-1", "20.00")));
            shop.hear(reserved).await;
        }
        let once = shop.cancelled(once);
        reacts_once(&mut shop.mailbox, once).await;
        let whole = shop.cancelled(whole);
        reacts_whole(&mut shop.mailbox, whole).await;
    }
}
