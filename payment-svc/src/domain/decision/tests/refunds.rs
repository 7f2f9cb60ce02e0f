//! Money that goes back: in parts, to a wallet that cannot take it, or not at all.

use super::*;
use crate::domain::refund_id;

fn names(decision: &Decision) -> Vec<String> {
    decision.announce.iter().map(said).collect()
}

#[test]
fn staff_give_back_parts_until_nothing_is_left() {
    let paid = after(&["reserved 1 wallet 20"]);

    let first = refund(paid, Some(usd("5.00"))).unwrap();
    assert_eq!(names(&first), ["PaymentRefunded 1 5.00 USD of 1 Staff"]);
    let too_much = refund(first.state.clone(), Some(usd("15.01")));
    assert_eq!(too_much, Err(Refusal::NotRefundable { left: usd("15.00") }));
    let rest = refund(first.state, None).unwrap();
    assert_eq!(names(&rest), ["PaymentRefunded 2 15.00 USD of 1 Staff"]);
    let nothing = refund(rest.state.clone(), None);
    assert_eq!(nothing, Err(Refusal::NotRefundable { left: usd("0.00") }));

    let cancelled = decide(rest.state, &Event::OrderCancelled { revision: 3 }, order());
    assert_eq!(names(&cancelled), ["PaymentVoided 3 known=true"], "all of it was refunded before");
}

#[test]
fn only_captured_money_can_go_back_and_one_refund_at_a_time() {
    assert_eq!(refund(rich(), None), Err(Refusal::UnknownPayment));
    for names in
        [&["reserved 1 deferred 20"][..], &["reserved 1 card 20"], &["reserved 1 wallet 60"]]
    {
        assert_eq!(refund(after(names), None), Err(Refusal::NothingCaptured), "{names:?}");
    }
    let open = after(&["reserved 1 card 20", "charge 1 captured", "staff refund 5"]);
    assert_eq!(refund(open, Some(usd("1.00"))), Err(Refusal::RefundUnderWay));
    let paid = after(&["reserved 1 wallet 20"]);
    assert_eq!(refund(paid.clone(), Some(usd("0"))), Err(Refusal::NotPositive));
    let euro = Money::zero(Currency::parse("EUR").unwrap());
    let other = Err(Refusal::OtherCurrency { wanted: Currency::USD });
    assert_eq!(refund(paid, Some(euro)), other);
}

#[test]
fn a_cancel_waits_for_the_refund_of_staff_and_gives_back_the_rest() {
    let open = after(&["reserved 1 card 20", "charge 1 captured", "staff refund 5", "cancelled"]);
    for (answer, first, rest) in [
        (back(1), "PaymentRefunded 1 5.00 USD of 1 Staff", "15.00"),
        (stays(1), "RefundRefused 1 5.00 USD Staff", "20.00"),
    ] {
        let ended = decide(open.clone(), &answer, order());
        assert_eq!(names(&ended), [first]);
        assert_eq!(ended.call.as_ref().unwrap().amount, usd(rest));

        let answered = decide(ended.state, &back(2), order());
        let said = format!("PaymentRefunded 2 {rest} USD of 1 OrderCancelled");
        assert_eq!(names(&answered), [said]);
    }
}

/// The provider will not give the money of a cancelled order back: nobody asks again by themselves.
#[test]
fn a_refused_refund_keeps_the_money_until_staff_ask_again() {
    let stuck =
        after(&["reserved 1 card 20", "charge 1 captured", "cancelled", "refund 1 refused"]);
    assert!(matches!(
        stuck.payment.as_ref().unwrap().compensation,
        CompensationState::Owed { revision: 1 }
    ));
    let again = decide(stuck.clone(), &Event::OrderCancelled { revision: 1 }, order());
    assert_eq!(again.call, None);

    let asked = refund(stuck.clone(), None).unwrap();
    assert_eq!(asked.call.as_ref().unwrap().key(), format!("{}.refund.2", order()));
    let settled = decide(asked.state.clone(), &back(2), order());
    assert_eq!(names(&settled), ["PaymentRefunded 2 20.00 USD of 1 OrderCancelled"]);
    let refused = decide(asked.state, &stays(2), order());
    assert_eq!(names(&refused), ["RefundRefused 2 20.00 USD OrderCancelled"]);
    assert_eq!(refused.call, None, "it waits for staff once more");

    // A part is a refund of its own; what is left is then asked for, to answer the cancel.
    let part = refund(stuck, Some(usd("5.00"))).unwrap();
    let part = decide(part.state, &back(2), order());
    assert_eq!(names(&part), ["PaymentRefunded 2 5.00 USD of 1 Staff"]);
    assert_eq!(part.call.unwrap().amount, usd("15.00"));
}

#[test]
fn money_that_an_account_cannot_take_back_waits_for_staff() {
    let mut paid = after(&["reserved 1 wallet 20"]);
    let account = paid.wallet.account.as_mut().unwrap();
    account.balance = Money::new("999999999999999".parse().unwrap(), Currency::USD).unwrap();

    let cancelled = decide(paid, &Event::OrderCancelled { revision: 1 }, order());

    assert_eq!(names(&cancelled), ["RefundRefused 1 20.00 USD OrderCancelled"]);
    assert!(cancelled.entries.is_empty());
    assert!(is_held_up(&cancelled.state));
    assert!(capture(&cancelled.state).unwrap().refunded.is_zero());

    let mut emptied = cancelled.state;
    emptied.wallet.account.as_mut().unwrap().balance = usd("0");
    let settled = refund(emptied, None).unwrap();
    assert_eq!(names(&settled), ["PaymentRefunded 2 20.00 USD of 1 OrderCancelled"]);
    assert_eq!(settled.refunds.len(), 1);
}

#[test]
fn every_refund_has_an_id_of_its_own() {
    let ids = [refund_id(order(), 1), refund_id(order(), 2), refund_id(order(), 3)];

    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    let order = OrderId::parse("01932c1e-7a55-7b2c-9d11-0f3a5c8e2b71").unwrap();
    let id = refund_id(order, 1);
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    assert_ne!(id, crate::domain::payment_id(order).uuid());
}
