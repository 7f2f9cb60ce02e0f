//! Orders with several revisions.

use super::*;

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
