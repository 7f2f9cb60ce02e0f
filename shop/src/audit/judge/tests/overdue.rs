//! An order under way is left out while its wait is young, and found once it is overdue.

use super::*;

/// The verdict about an order with one change, `seconds` later.
fn later(seconds: u32, change: impl FnOnce(&mut Facts)) -> Verdict {
    let mut facts = confirmed();
    change(&mut facts);
    judge(ID, &facts, &View { now: NOW + seconds, ..view() })
}

type Change = fn(&mut Facts);

/// Everything that an order may wait for.
const WAITS: [(&str, Change); 7] = [
    ("a message that was not consumed", |facts| facts.said[STOCK].offset = 100),
    ("a partition that nobody reads", |facts| facts.said[PAYMENTS].partition = 7),
    ("an outbox row that was not published", |facts| {
        facts.said[ORDERS].version -= 1;
        facts.said[ORDERS].outbox_at = NOW - 10;
    }),
    ("the provider", |facts| change_payment(facts, |it| it.call_until = NOW)),
    ("a delivery", |facts| facts.notices.as_mut().unwrap().delivery_until = NOW),
    ("a deadline", |facts| {
        change_order(facts, |order| (order.ending, order.due_at) = (OrderEnd::Open, NOW));
    }),
    ("a deadline to come", |facts| {
        change_order(facts, |order| (order.ending, order.due_at) = (OrderEnd::Open, NOW + 1_000));
    }),
];

#[test]
fn an_order_under_way_is_left_out_while_it_is_young() {
    for (what, change) in WAITS {
        let judged = later(5, change);
        assert_eq!(judged, Verdict::UnderWay { since: NOW - 10 }, "{what}");
    }
    assert_eq!(later(9, |facts| facts.is_parked = true), Verdict::UnderWay { since: NOW + 9 });
}

#[test]
fn what_is_overdue_is_stuck_and_says_for_how_long() {
    for (what, change) in WAITS.into_iter().take(6) {
        let Verdict::Settled(broken) = later(120, change) else { panic!("{what} is not overdue") };
        let [(promise, words)] = broken.as_slice() else { panic!("{what}: {broken:?}") };
        assert_eq!(*promise, Promise::NothingStuck, "{what}");
        assert!(words.ends_with("130 s ago") || words.ends_with("120 s ago"), "{words}");
    }
    let (_, to_come) = WAITS[6];
    assert_eq!(later(1_029, to_come), Verdict::UnderWay { since: NOW - 10 });
    assert!(matches!(later(1_031, to_come), Verdict::Settled(_)));
}

#[test]
fn a_hold_that_ran_out_and_was_not_said_to_is_stuck() {
    let held = |facts: &mut Facts| {
        change_order(facts, |order| (order.ending, order.due_at) = (OrderEnd::Open, NOW + 9_999));
        let reservation = facts.reservation.as_mut().unwrap();
        (reservation.hold, reservation.expires_at) = (Hold::Held, NOW);
    };
    assert_eq!(later(29, held), Verdict::UnderWay { since: NOW - 10 });
    let Verdict::Settled(broken) = later(31, held) else { panic!("the sweep is dead") };
    assert_eq!(broken[0].0, Promise::NothingStuck);
}

#[test]
fn a_state_whose_event_is_in_no_outbox_is_stuck_unless_all_forget() {
    let unsaid = |facts: &mut Facts| {
        facts.said[STOCK] = TopicFacts::default();
    };
    let mut facts = confirmed();
    unsaid(&mut facts);
    let Verdict::Settled(broken) = judge(ID, &facts, &view()) else { panic!("nothing will come") };
    assert_eq!(broken[0].0, Promise::NothingStuck);

    // The topic was trimmed, or made anew, since orders as old as this began.
    let gone_before = [0, birth(ID) + 1, 0, 0];
    let judged = judge(ID, &facts, &View { gone_before, ..view() });
    assert_eq!(judged, Verdict::Settled(Vec::new()));
}
