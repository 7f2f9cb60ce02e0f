//! Orders that ended well are in order, and each inconsistency is found by the check that is named
//! after it.

use super::{
    super::{
        content::Amount,
        facts::{
            CANCELLATION, CONFIRMATION, CompensationState, DUE, Hold, MessageFacts, NOTIFICATIONS,
            Notices, Order, PAYMENTS, Payment, Provider, REFUND, Reservation, STOCK,
        },
        tag,
    },
    *,
};

mod interventions;
mod overdue;
mod revisions;

/// A time some seconds after everything in these tests was published.
const NOW: u32 = 1_800_000_000;
const ID: u128 = 7;
const USD: [u8; 3] = *b"USD";

/// A view in which every message has been consumed by all its consumers.
fn view() -> View {
    let consumed = ConsumerPositions { offsets: std::array::from_fn(|_| vec![100]) };
    View { consumed, now: NOW, ..View::default() }
}

fn told(events: &[usize]) -> TopicFacts {
    let mut told = TopicFacts::default();
    for (version, tag) in (1..).zip(events) {
        let (offset, at) = (i64::from(version), NOW - 10);
        let content = u32::try_from(*tag).unwrap();
        let heard =
            MessageFacts { tag: *tag, version, offset, at, content, ..MessageFacts::default() };
        told.message(&heard, true);
    }
    told
}

/// An order that was paid by card and confirmed.
fn confirmed() -> Facts {
    Facts {
        order: Some(Order {
            ending: OrderEnd::Confirmed,
            customer: 1,
            total: Amount { sum: 599_800, currency: USD },
            basket: 2,
            revision: 1,
            is_stock_undone: false,
            compensation: CompensationState::NotAsked,
            due_at: 0,
            is_deferred: false,
            version: 2,
            heard: [1, 1, 1],
            events: 5,
            foretold: [0, 1, 2, 3, 4, 0, 0, 0],
            reserved_terms: 0,
            folded: 0,
        }),
        reservation: Some(Reservation {
            hold: Hold::Sold,
            is_expired: false,
            expires_at: 0,
            basket: 2,
            revision: 1,
            version: 1,
            heard_orders: 2,
            foretold: [0, 1, 0, 3, 0, 0, 0, 0],
        }),
        payment: Some(Payment {
            customer: 1,
            currency: USD,
            captured: Some(599_800),
            refunded: 0,
            refunds: 0,
            refused: 0,
            is_by_card: true,
            compensation: CompensationState::NotAsked,
            call_until: 0,
            has_hold: false,
            version: 1,
            heard_orders: 0,
            heard_stock: 1,
            foretold: [0, 1, 2, 0, 4, 0, 0, 0],
        }),
        notices: Some(Notices {
            told: [0, 1, 0, 0, 0, 0],
            sent: 1,
            version: 1,
            heard_orders: 2,
            ..Notices::default()
        }),
        provider: Provider { captures: 1, captured: 599_800, currency: USD, ..Provider::default() },
        said: [
            told(&[tag::PLACED, tag::CONFIRMED]),
            told(&[tag::RESERVED]),
            told(&[tag::CAPTURED]),
            told(&[tag::SENT]),
        ],
        ..Facts::default()
    }
}

/// The confirmed order, cancelled by its customer afterwards: everything went back.
fn cancelled() -> Facts {
    let mut facts = confirmed();
    change_order(&mut facts, |order| {
        order.ending = OrderEnd::Cancelled;
        (order.is_stock_undone, order.compensation) = (true, CompensationState::Refunded);
        (order.version, order.heard, order.events) = (3, [2, 2, 3], 10);
    });
    let reservation = facts.reservation.as_mut().unwrap();
    (reservation.hold, reservation.version, reservation.heard_orders) = (Hold::Released, 2, 3);
    change_payment(&mut facts, |payment| {
        (payment.refunded, payment.refunds) = (599_800, 1);
        payment.compensation = CompensationState::Refunded;
        (payment.version, payment.heard_orders) = (2, 3);
    });
    facts.notices = Some(Notices {
        told: [0, 1, 1, 1, 0, 0],
        sent: 3,
        version: 3,
        heard_orders: 3,
        heard_payments: 2,
        ..Notices::default()
    });
    facts.provider.refunded = 599_800;
    facts.said = [
        told(&[tag::PLACED, tag::CONFIRMED, tag::CANCELLED]),
        told(&[tag::RESERVED, tag::RELEASED]),
        told(&[tag::CAPTURED, tag::REFUNDED]),
        told(&[tag::SENT, tag::SENT, tag::SENT]),
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
    match judge(ID, facts, &view()) {
        Verdict::Settled(broken) => {
            let mut promises: Vec<_> = broken.into_iter().map(|(promise, _)| promise).collect();
            promises.sort();
            promises.dedup();
            promises
        }
        Verdict::UnderWay { .. } => panic!("settled orders are expected here"),
    }
}

/// The broken promises after one change.
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
fn an_order_that_nothing_will_end_is_stuck() {
    let stuck = planted(confirmed(), |facts| {
        change_order(facts, |order| order.ending = OrderEnd::Open);
        facts.said[ORDERS] = told(&[tag::PLACED, tag::AWAITING]);
        facts.notices.as_mut().unwrap().told = [1, 0, 0, 0, 0, 0];
    });
    assert_eq!(stuck, [Promise::NothingStuck]);
    let waiting = planted(cancelled(), |facts| {
        change_order(facts, |it| it.compensation = CompensationState::Owed);
    });
    assert_eq!(waiting, [Promise::NothingStuck]);
}

#[test]
fn an_order_that_order_svc_lost_is_found() {
    assert_eq!(planted(confirmed(), |facts| facts.order = None), [Promise::VersionsAgree]);
}

#[test]
fn goods_that_do_not_agree_are_found() {
    let hold = |facts: &mut Facts, hold| {
        let reservation = facts.reservation.as_mut().unwrap();
        (reservation.hold, reservation.expires_at) = (hold, NOW + 900);
    };
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
        let notices = facts.notices.as_mut().unwrap();
        notices.heard_orders = version;
        notices.told[CONFIRMATION] = facts.said[ORDERS].times[tag::CONFIRMED];
        change_order(facts, |order| {
            order.events = order.events + version - order.version;
            order.version = version;
        });
    };
    let once = Promise::EndingsSaidOnce;
    assert!(planted(confirmed(), |facts| said(facts, &[1])).contains(&once));
    assert_eq!(planted(confirmed(), |facts| said(facts, &[1, 3, 3])), [once]);
    assert_eq!(planted(confirmed(), |facts| said(facts, &[1, 1, 3])), [once]);
    assert!(planted(cancelled(), |facts| said(facts, &[1, 3])).contains(&once));
}

#[test]
fn a_side_that_answers_a_cancel_twice_or_never_is_found() {
    let once = [Promise::CompensatedOnce];
    let stock = planted(cancelled(), |facts| facts.said[STOCK].times[tag::RELEASED] = 2);
    assert_eq!(stock, once);
    let money = planted(cancelled(), |facts| facts.said[PAYMENTS].times[tag::VOIDED] = 1);
    assert_eq!(money, once);
    let unasked = planted(confirmed(), |facts| {
        facts.said[STOCK].times[tag::RELEASED] = 1;
        facts.said[STOCK].contents[tag::RELEASED] = 3;
    });
    assert_eq!(unasked, once);
    let owed = planted(cancelled(), |facts| {
        change_payment(facts, |it| it.compensation = CompensationState::Owed);
    });
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
        change_order(facts, |order| order.heard = [1, 2, 3]);
    });
    assert_eq!(order, missed);
}

#[test]
fn a_history_that_is_not_what_the_topics_say_is_found() {
    let other = planted(confirmed(), |facts| facts.history += 1);
    assert_eq!(other, [Promise::HistoryAgrees]);
}

#[test]
fn an_event_that_says_something_else_than_its_state_is_found() {
    for (topic, tag) in [(ORDERS, tag::PLACED), (STOCK, tag::RELEASED), (PAYMENTS, tag::CAPTURED)] {
        let other = planted(cancelled(), |facts| facts.said[topic].contents[tag] += 1);
        assert_eq!(other, [Promise::ContentsAgree], "{topic} {tag}");
    }
}

#[test]
fn other_pieces_than_the_lines_are_found() {
    let other = planted(confirmed(), |facts| facts.reservation.as_mut().unwrap().basket = 3);
    assert_eq!(other, [Promise::StockAgrees]);
}

#[test]
fn an_answer_said_twice_or_never_is_found() {
    let silent = planted(confirmed(), |facts| facts.said[STOCK].times[tag::RESERVED] = 0);
    assert_eq!(silent, [Promise::StockAgrees]);
    let twice = planted(confirmed(), |facts| facts.said[STOCK].times[tag::REJECTED] = 1);
    assert_eq!(twice, [Promise::StockAgrees]);
    let unsaid = planted(confirmed(), |facts| facts.notices.as_mut().unwrap().sent = 2);
    assert_eq!(unsaid, [Promise::CustomersTold]);
}

#[test]
fn money_that_went_back_otherwise_than_was_said_is_found() {
    let voided = planted(cancelled(), |facts| {
        facts.said[PAYMENTS].times[tag::VOIDED] = 1;
        facts.said[PAYMENTS].times[tag::REFUNDED] = 0;
        facts.notices.as_mut().unwrap().told[REFUND] = 0;
        change_order(facts, |order| order.compensation = CompensationState::Voided);
    });
    assert_eq!(voided, [Promise::CompensatedOnce]);
}

#[test]
fn money_of_another_currency_or_customer_is_found() {
    let ours = planted(confirmed(), |facts| change_payment(facts, |it| it.currency = *b"EUR"));
    assert_eq!(ours, [Promise::MoneyAgrees]);
    let whose = planted(confirmed(), |facts| change_payment(facts, |it| it.customer = 2));
    assert_eq!(whose, [Promise::MoneyAgrees]);
    let theirs = planted(confirmed(), |facts| facts.provider.currency = *b"EUR");
    assert_eq!(theirs, [Promise::ProviderAgrees]);
    let mixed = planted(confirmed(), |facts| facts.provider.is_mixed = true);
    assert_eq!(mixed, [Promise::ProviderAgrees]);
}

#[test]
fn a_hold_that_outlives_its_order_is_found() {
    let held = planted(cancelled(), |facts| change_payment(facts, |it| it.has_hold = true));
    assert_eq!(held, [Promise::HoldsEnd]);
}

#[test]
fn a_customer_whom_nobody_told_is_found() {
    let untold = planted(confirmed(), |facts| {
        facts.notices.as_mut().unwrap().told[CONFIRMATION] = 0;
    });
    assert_eq!(untold, [Promise::CustomersTold]);
    let untold = planted(cancelled(), |facts| {
        facts.notices.as_mut().unwrap().told[CANCELLATION] = 0;
    });
    assert_eq!(untold, [Promise::CustomersTold]);
    let undue = planted(confirmed(), |facts| facts.notices.as_mut().unwrap().told[DUE] = 1);
    assert_eq!(undue, [Promise::CustomersTold]);
    let unpaid = planted(cancelled(), |facts| facts.notices.as_mut().unwrap().told[REFUND] = 0);
    assert_eq!(unpaid, [Promise::CustomersTold]);
    let confused = planted(confirmed(), |facts| facts.notices.as_mut().unwrap().is_confused = true);
    assert_eq!(confused, [Promise::CustomersTold]);
}

#[test]
fn what_retention_removed_is_not_counted() {
    let trimmed = planted(confirmed(), |facts| {
        facts.said[ORDERS].times = [0; tag::LENGTH];
        facts.said[ORDERS].is_trimmed = true;
    });
    assert_eq!(trimmed, []);
}

#[test]
fn repetitions_count_once() {
    let mut told = told(&[tag::PLACED, tag::CONFIRMED]);
    told.message(
        &MessageFacts { tag: tag::PLACED, version: 1, offset: 3, ..MessageFacts::default() },
        false,
    );
    assert_eq!((told.version, told.times[tag::PLACED], told.offset), (2, 1, 3));
}
