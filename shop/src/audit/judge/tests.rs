//! Orders that ended well are found in order, and each way of not fitting is found by the check
//! that names it.

use super::super::facts::{Notices, Payment, Provider, Reservation};
use super::*;

/// Every message has been consumed by all who hear it.
fn all_consumed() -> Consumed {
    Consumed { offsets: std::array::from_fn(|_| vec![100]), is_trimmed: [false; 4] }
}

fn told(events: &[usize]) -> Told {
    let mut told = Told::default();
    for (version, tag) in (1..).zip(events) {
        told.message(*tag, version, (0, i64::from(version)), true);
    }
    told
}

/// An order that was paid by card and confirmed.
fn confirmed() -> Facts {
    Facts {
        order: Some(Order {
            ending: Ending::Confirmed,
            total: 599_800,
            is_stock_undone: false,
            is_money_undone: false,
            has_deadline: false,
            version: 2,
            heard: [1, 1, 1],
            events: 5,
        }),
        reservation: Some(Reservation { hold: Hold::Sold, version: 1, heard_orders: 2 }),
        payment: Some(Payment {
            captured: Some(599_800),
            refunded: 0,
            is_by_card: true,
            undoing: Undoing::NotAsked,
            is_calling: false,
            version: 1,
            heard_orders: 0,
            heard_stock: 1,
        }),
        notices: Some(Notices {
            told_confirmed: true,
            version: 1,
            heard_orders: 2,
            ..Notices::default()
        }),
        provider: Provider { captures: 1, captured: 599_800, refunded: 0 },
        said: [
            told(&[tag::PLACED, tag::CONFIRMED]),
            told(&[tag::RESERVED]),
            told(&[tag::CAPTURED]),
            told(&[1]),
        ],
        is_parked: false,
    }
}

/// The same, cancelled by its customer afterwards: all went back.
fn cancelled() -> Facts {
    let mut facts = confirmed();
    change_order(&mut facts, |order| {
        order.ending = Ending::Cancelled;
        (order.is_stock_undone, order.is_money_undone) = (true, true);
        (order.version, order.heard, order.events) = (3, [2, 2, 2], 9);
    });
    facts.reservation = Some(Reservation { hold: Hold::Released, version: 2, heard_orders: 3 });
    change_payment(&mut facts, |payment| {
        payment.refunded = 599_800;
        payment.undoing = Undoing::Refunded;
        (payment.version, payment.heard_orders) = (2, 3);
    });
    facts.notices = Some(Notices {
        told_confirmed: true,
        told_cancelled: true,
        version: 2,
        heard_orders: 3,
        heard_payments: 2,
        ..Notices::default()
    });
    facts.provider.refunded = 599_800;
    facts.said = [
        told(&[tag::PLACED, tag::CONFIRMED, tag::CANCELLED]),
        told(&[tag::RESERVED, tag::RELEASED]),
        told(&[tag::CAPTURED, tag::REFUNDED]),
        told(&[1, 1]),
    ];
    facts
}

fn change_order(facts: &mut Facts, change: impl FnOnce(&mut Order)) {
    change(facts.order.as_mut().unwrap());
}

fn change_payment(facts: &mut Facts, change: impl FnOnce(&mut Payment)) {
    change(facts.payment.as_mut().unwrap());
}

fn broken(facts: &Facts) -> Vec<Promise> {
    match judge(facts, &all_consumed()) {
        Judged::Settled(broken) => {
            let mut promises: Vec<_> = broken.into_iter().map(|(promise, _)| promise).collect();
            promises.sort();
            promises.dedup();
            promises
        }
        Judged::UnderWay => panic!("settled orders are expected here"),
    }
}

/// One thing is changed, and what is found must be what names it.
fn planted(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Vec<Promise> {
    change(&mut facts);
    broken(&facts)
}

#[test]
fn orders_that_ended_well_are_well() {
    assert_eq!(broken(&confirmed()), []);
    assert_eq!(broken(&cancelled()), []);
}

#[test]
fn an_order_under_way_is_left_out() {
    let under_way = |change: fn(&mut Facts)| {
        let mut facts = confirmed();
        change(&mut facts);
        judge(&facts, &all_consumed())
    };
    assert_eq!(under_way(|facts| facts.said[STOCK].offset = 100), Judged::UnderWay);
    assert_eq!(under_way(|facts| facts.said[ORDERS].version -= 1), Judged::UnderWay);
    assert_eq!(under_way(|facts| facts.said[PAYMENTS].partition = 7), Judged::UnderWay);
    assert_eq!(under_way(|facts| facts.is_parked = true), Judged::UnderWay);
    assert_eq!(
        under_way(|facts| change_payment(facts, |it| it.is_calling = true)),
        Judged::UnderWay
    );
    assert_eq!(
        under_way(|facts| change_order(facts, |order| {
            (order.ending, order.has_deadline) = (Ending::Open, true);
        })),
        Judged::UnderWay
    );
}

#[test]
fn an_order_that_nothing_will_end_is_stuck() {
    let stuck = planted(confirmed(), |facts| {
        change_order(facts, |order| order.ending = Ending::Open);
        facts.said[ORDERS] = told(&[tag::PLACED, tag::AWAITING]);
    });
    assert_eq!(stuck, [Promise::NothingStuck]);
    let waiting =
        planted(cancelled(), |facts| change_order(facts, |it| it.is_money_undone = false));
    assert_eq!(waiting, [Promise::NothingStuck]);
}

#[test]
fn an_order_that_order_svc_lost_is_found() {
    assert_eq!(planted(confirmed(), |facts| facts.order = None), [Promise::VersionsAgree]);
}

#[test]
fn goods_that_do_not_agree_are_found() {
    let hold = |facts: &mut Facts, hold| facts.reservation.as_mut().unwrap().hold = hold;
    let stock = [Promise::StockAgrees];
    assert_eq!(planted(confirmed(), |facts| hold(facts, Hold::Held)), stock);
    assert_eq!(planted(confirmed(), |facts| hold(facts, Hold::Released)), stock);
    assert_eq!(planted(cancelled(), |facts| hold(facts, Hold::Sold)), stock);
    assert_eq!(planted(cancelled(), |facts| hold(facts, Hold::Held)), stock);
}

#[test]
fn money_that_does_not_agree_is_found() {
    let short = planted(confirmed(), |facts| {
        change_payment(facts, |it| it.captured = Some(1));
        facts.provider.captured = 1;
    });
    assert_eq!(short, [Promise::MoneyAgrees]);
    let kept = planted(cancelled(), |facts| {
        change_payment(facts, |it| it.refunded = 0);
        facts.provider.refunded = 0;
    });
    assert_eq!(kept, [Promise::MoneyAgrees]);
    let never = planted(confirmed(), |facts| {
        change_payment(facts, |it| it.captured = None);
        facts.provider = Provider::default();
    });
    assert_eq!(never, [Promise::MoneyAgrees]);
}

#[test]
fn a_provider_that_knows_better_is_found() {
    let provider = [Promise::ProviderAgrees];
    assert_eq!(planted(confirmed(), |facts| facts.provider.captures = 2), provider);
    assert_eq!(planted(confirmed(), |facts| facts.provider.captured *= 2), provider);
    assert_eq!(planted(cancelled(), |facts| facts.provider.refunded *= 2), provider);
    assert_eq!(planted(confirmed(), |facts| facts.provider = Provider::default()), provider);
}

#[test]
fn an_ending_said_twice_or_never_is_found() {
    let said = |facts: &mut Facts, events: &[usize]| {
        facts.said[ORDERS] = told(events);
        let version = facts.said[ORDERS].version;
        facts.reservation.as_mut().unwrap().heard_orders = version;
        facts.notices.as_mut().unwrap().heard_orders = version;
        change_order(facts, |order| {
            order.events = order.events + version - order.version;
            order.version = version;
        });
    };
    let once = [Promise::EndingsSaidOnce];
    assert_eq!(planted(confirmed(), |facts| said(facts, &[1])), once);
    assert_eq!(planted(confirmed(), |facts| said(facts, &[1, 3, 3])), once);
    assert_eq!(planted(confirmed(), |facts| said(facts, &[1, 1, 3])), once);
    assert_eq!(planted(cancelled(), |facts| said(facts, &[1, 3])), once);
}

#[test]
fn a_side_that_answers_a_cancel_twice_or_never_is_found() {
    let once = [Promise::CompensatedOnce];
    let stock = planted(cancelled(), |facts| facts.said[STOCK].times[tag::RELEASED] = 2);
    assert_eq!(stock, once);
    let money = planted(cancelled(), |facts| facts.said[PAYMENTS].times[tag::VOIDED] = 1);
    assert_eq!(money, once);
    let unasked = planted(confirmed(), |facts| facts.said[STOCK].times[tag::RELEASED] = 1);
    assert_eq!(unasked, once);
    let owed = planted(cancelled(), |facts| change_payment(facts, |it| it.undoing = Undoing::Owed));
    assert_eq!(owed, once);
}

#[test]
fn a_state_that_counts_other_events_than_its_topic_is_found() {
    for topic in [ORDERS, STOCK, PAYMENTS, NOTIFICATIONS] {
        let found = planted(confirmed(), |facts| facts.said[topic].version += 1);
        assert!(found.contains(&Promise::VersionsAgree), "{topic}");
    }
}

#[test]
fn a_service_that_missed_an_event_is_found() {
    let missed = [Promise::NothingMissed];
    let deaf = |change: fn(&mut Facts)| planted(cancelled(), change);
    assert_eq!(deaf(|facts| facts.reservation.as_mut().unwrap().heard_orders = 2), missed);
    assert_eq!(deaf(|facts| change_payment(facts, |it| it.heard_orders = 0)), missed);
    assert_eq!(deaf(|facts| change_payment(facts, |it| it.heard_stock = 0)), missed);
    assert_eq!(deaf(|facts| facts.notices.as_mut().unwrap().heard_orders = 2), missed);
    assert_eq!(deaf(|facts| facts.notices.as_mut().unwrap().heard_payments = 0), missed);
    let order = deaf(|facts| {
        change_order(facts, |order| (order.heard, order.events) = ([1, 2, 2], 8));
    });
    assert_eq!(order, missed);
}

#[test]
fn a_history_with_too_much_or_too_little_is_found() {
    let history = [Promise::HistoryAgrees];
    assert_eq!(planted(confirmed(), |facts| change_order(facts, |it| it.events = 4)), history);
    assert_eq!(planted(confirmed(), |facts| change_order(facts, |it| it.events = 6)), history);
}

#[test]
fn a_customer_whom_nobody_told_is_found() {
    let untold =
        planted(confirmed(), |facts| facts.notices.as_mut().unwrap().told_confirmed = false);
    assert_eq!(untold, [Promise::CustomersTold]);
    let untold =
        planted(cancelled(), |facts| facts.notices.as_mut().unwrap().told_cancelled = false);
    assert_eq!(untold, [Promise::CustomersTold]);
}

#[test]
fn what_retention_removed_is_not_counted() {
    let trimmed = planted(confirmed(), |facts| {
        facts.said[ORDERS].times = [0; 8];
        facts.said[ORDERS].is_trimmed = true;
    });
    assert_eq!(trimmed, []);
}

#[test]
fn repetitions_count_once() {
    let mut told = told(&[tag::PLACED, tag::CONFIRMED]);
    told.message(tag::PLACED, 1, (0, 3), false);
    assert_eq!((told.version, told.times[tag::PLACED], told.offset), (2, 1, 3));
}
