//! Orders with several revisions.

use super::*;
use crate::audit::content::{Contents, TERMS};

/// The terms of three revisions, as numbers.
const TERMS_OF: [u32; 3] = [10, 20, 30];

/// A confirmed order that was amended twice; stock answered so to each revision, with these terms.
fn amended(answers: &[(usize, u32)]) -> Facts {
    let mut facts = confirmed();
    let topic = |events: &[(usize, u32)]| {
        let mut told = TopicFacts::default();
        for ((tag, terms), version) in events.iter().copied().zip(1..) {
            let heard = MessageFacts { tag, version, terms, ..MessageFacts::default() };
            told.message(&heard, true);
        }
        told
    };
    let [first, second, third] = TERMS_OF;
    let ordered = [(tag::PLACED, first), (tag::AMENDED, second), (tag::AMENDED, third)];
    facts.said[ORDERS] = topic(&[&ordered[..], &[(tag::CONFIRMED, 0)]].concat());
    facts.said[STOCK] = topic(answers);
    change_order(&mut facts, |order| {
        (order.revision, order.version, order.events) = (3, 4, 9);
        order.heard[0] = 3;
        (order.foretold, order.reserved_terms) = (Contents::default(), third);
        order.foretold[TERMS] = first + second + third;
    });
    let reservation = facts.reservation.as_mut().unwrap();
    (reservation.revision, reservation.version, reservation.heard_orders) = (3, 3, 4);
    reservation.foretold = Contents::default();
    let last = answers.iter().rposition(|(tag, _)| *tag == tag::RESERVED).unwrap() + 1;
    change_payment(&mut facts, |payment| payment.heard_stock = u32::try_from(last).unwrap());
    facts.notices.as_mut().unwrap().heard_orders = 4;
    facts
}

#[test]
fn terms_that_stock_passes_on_otherwise_than_they_were_ordered_are_found() {
    let (reserved, rejected) = (tag::RESERVED, tag::REJECTED);
    let [first, second, third] = TERMS_OF;
    let found = [Promise::ContentsAgree];
    for (answers, broken_promises) in [
        ([(reserved, first), (reserved, second), (reserved, third)], &[][..]),
        ([(reserved, first), (rejected, 0), (reserved, third)], &[]),
        ([(reserved, first), (reserved, first), (reserved, third)], &found),
        ([(reserved, first), (reserved, second), (reserved, second)], &found),
        ([(reserved, first), (rejected, 0), (reserved, first)], &found),
    ] {
        assert_eq!(broken(&amended(&answers)), broken_promises, "{answers:?}");
    }
    let mut facts = amended(&[(reserved, first), (reserved, second), (rejected, 0)]);
    assert_eq!(broken(&facts), found, "order-svc has heard that the third is reserved");
    change_order(&mut facts, |order| order.reserved_terms = second);
    assert_eq!(broken(&facts), []);
}

#[test]
fn each_reserved_revision_may_run_out_and_none_does_unsaid() {
    let held = |said: &[usize], reserved_last| {
        planted(confirmed(), |facts| {
            let version = u32::try_from(said.len()).unwrap();
            change_order(facts, |order| {
                (order.ending, order.revision) = (OrderEnd::Open, 2);
                order.heard[0] = version;
            });
            facts.said[ORDERS] = told(&[tag::PLACED, tag::AMENDED]);
            facts.said[STOCK] = told(said);
            facts.notices = None;
            facts.said[NOTIFICATIONS] = told(&[]);
            change_payment(facts, |payment| payment.heard_stock = reserved_last);
            let reservation = facts.reservation.as_mut().unwrap();
            (reservation.hold, reservation.is_expired) = (Hold::Held, true);
            (reservation.revision, reservation.version) = (2, version);
        })
    };
    let (reserved, expired) = (tag::RESERVED, tag::EXPIRED);
    assert_eq!(held(&[reserved, expired, reserved, expired], 3), [Promise::NothingStuck]);
    assert_eq!(held(&[reserved, reserved, expired], 2), [Promise::NothingStuck]);
    assert!(held(&[reserved, reserved], 2).contains(&Promise::StockAgrees), "it was to be said");
}
