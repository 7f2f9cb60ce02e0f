//! What follows from operators' interventions is excused, and nothing else.

use super::*;
use crate::audit::interventions::MessageRef;

#[test]
fn what_follows_from_a_discarded_message_is_excused() {
    let mut facts = cancelled();
    facts.reservation.as_mut().unwrap().heard_orders = 2;
    assert_eq!(broken(&facts), [Promise::NothingMissed]);
    let mut interventions = Interventions::default();
    interventions
        .discard(None, Some(MessageRef { service: STOCK, topic: ORDERS, order: ID, version: 3 }));
    let judged = judge(ID, &facts, &View { interventions, ..view() });
    assert_eq!(judged, Verdict::Settled(Vec::new()));

    // Money that is kept stays a violation, whichever message was discarded.
    facts.has_intervention = true;
    facts.notices = None;
    change_payment(&mut facts, |payment| (payment.refunded, payment.refunds) = (0, 0));
    let kept = [Promise::VersionsAgree, Promise::MoneyAgrees, Promise::ProviderAgrees];
    assert_eq!(broken(&facts), kept);
}
