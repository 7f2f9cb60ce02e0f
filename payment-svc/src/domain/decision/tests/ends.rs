//! What ends with an order: its hold and its token.

use super::*;
use crate::domain::{Hold, HoldState, Movement};

/// An account with `balance`, of which 10.00 are held for the order.
fn holding(balance: &str) -> State {
    let mut state = rich();
    let account = state.wallet.account.as_mut().unwrap();
    account.balance = usd(balance);
    account.held = usd("10.00");
    state.wallet.hold = Some(Hold { amount: usd("10.00"), state: HoldState::Held });
    state
}

fn take(state: State, names: &[&str]) -> (State, Vec<LedgerEntry>) {
    let steps = steps();
    names.iter().fold((state, Vec::new()), |(state, mut entries), name| {
        let (_, step) = steps.iter().find(|(known, _)| known == name).unwrap();
        let decision = step.take(state).unwrap();
        entries.extend(decision.entries);
        (decision.state, entries)
    })
}

#[test]
fn a_hold_ends_with_its_order() {
    let ends: [&[&str]; 6] = [
        &["cancelled"],
        &["reserved 1 deferred 20", "cancelled"],
        &["reserved 1 card 20", "cancelled"],
        &["reserved 1 card 20", "charge 1 captured"],
        &["reserved 1 card 20", "charge 1 declined", "cancelled"],
        &["reserved 1 wallet 60", "cancelled"],
    ];
    for names in ends {
        let (state, entries) = take(holding("50.00"), names);

        let account = state.wallet.account.unwrap();
        assert_eq!((account.held, account.balance), (usd("0"), usd("50.00")), "{names:?}");
        let moved: Vec<_> = entries.iter().map(|e| (e.movement, e.amount)).collect();
        assert_eq!(moved, [(Movement::Release, usd("10.00"))], "{names:?}");
    }
    for names in [&["reserved 1 card 20"][..], &["reserved 1 deferred 20"]] {
        let (state, _) = take(holding("50.00"), names);
        assert_eq!(state.wallet.account.unwrap().held, usd("10.00"), "{names:?}");
    }
}

#[test]
fn nothing_is_held_for_an_order_that_has_ended() {
    let ends: [&[&str]; 4] = [
        &["cancelled"],
        &["reserved 1 wallet 20"],
        &["reserved 1 wallet 60"],
        &["reserved 1 card 20", "charge 1 captured"],
    ];
    for names in ends {
        let refused = hold(after(names), order(), usd("1.00"));
        assert_eq!(refused, Err(Refusal::OrderEnded), "{names:?}");
    }
    for names in [&[][..], &["reserved 1 deferred 20"], &["reserved 1 card 20"]] {
        assert!(hold(after(names), order(), usd("1.00")).is_ok(), "{names:?}");
    }
}

#[test]
fn a_hold_expires_unless_its_order_can_still_be_paid_with_it() {
    let (wallet, entry) = expire_hold(holding("50.00"), order()).unwrap();
    assert_eq!((wallet.account.unwrap().held, entry.amount), (usd("0"), usd("10.00")));

    let waiting = take(holding("50.00"), &["reserved 1 deferred 20"]).0;
    assert_eq!(expire_hold(waiting, order()), None);
    assert_eq!(expire_hold(rich(), order()), None, "nothing was held");
}

/// A payer is told of their own charge, whatever is due by then.
#[test]
fn a_charge_that_ends_without_money_is_told_as_the_decline_that_it_is() {
    for names in [
        &["reserved 1 card 20"][..],
        &["reserved 1 deferred 20", "pay card"],
        &["reserved 1 card 20", "reserved 2 card 30"],
        &["reserved 1 deferred 20", "pay card", "reserved 2 deferred 30"],
        &["reserved 1 card 20", "cancelled"],
    ] {
        let before = after(names);
        let told = |event| decide(before.clone(), &event, order()).declined;

        let decline = told(refused(1)).unwrap();
        assert_eq!((decline.revision, decline.amount), (1, usd("20.00")), "{names:?}");
        for event in [taken(1), refused(2), Event::OrderCancelled { revision: 1 }] {
            assert_eq!(told(event), None, "{names:?}");
        }
    }
    let charging = after(&["reserved 1 card 20"]);
    let ended = decide(charging, &refused(1), order());
    assert_eq!(ended.state.payment.unwrap().phase, Phase::Declined(ended.declined.unwrap()));
}

/// Whoever reads the table could charge the card with its token.
#[test]
fn a_token_is_kept_no_longer_than_it_takes_to_charge_it() {
    let kept = |names: &[&str]| {
        let instrument = after(names).payment.and_then(|payment| payment.due?.instrument);
        matches!(instrument, Some(Instrument::Card(_)))
    };

    assert!(kept(&["reserved 1 card 20", "reserved 2 card 30"]), "2 is charged if 1 is not");
    for names in [
        &["reserved 1 card 20"][..],
        &["reserved 1 card 20", "charge 1 captured"],
        &["reserved 1 card 20", "charge 1 declined"],
        &["reserved 1 card 20", "reserved 2 card 30", "cancelled"],
        &["reserved 1 card 20", "reserved 2 card 30", "charge 1 captured"],
    ] {
        assert!(!kept(names), "{names:?}");
    }
}
