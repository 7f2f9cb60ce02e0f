//! Every way in which topic and outbox can disagree is planted, and found by the check that is
//! named after it.

use super::*;

const KEY: &[u8] = b"01932c1e-5a4b-7c3d-8e2f-1a2b3c4d5e6f";
const THERE: Place = Place { partition: 3, is_trimmed: false };

struct Topic {
    said: TopicContents,
    checks: Checks,
}

impl Topic {
    fn new() -> Self {
        Self { said: TopicContents::on("shop.orders.v1", false, true), checks: Checks::default() }
    }

    /// A topic whose first rows have left the outbox.
    fn without_its_first_rows() -> Self {
        Self { said: TopicContents::on("shop.orders.v1", false, false), checks: Checks::default() }
    }

    fn row(mut self, version: i64, published: Publication) -> Self {
        self.said.row(event(version), published, &mut self.checks);
        self
    }

    fn message(self, version: i64) -> Self {
        self.message_at(event(version), THERE)
    }

    fn message_at(mut self, event: Event<'_>, place: Place) -> Self {
        self.said.message(event, place, &mut self.checks);
        self
    }

    fn broken(mut self) -> Vec<Promise> {
        self.said.finish(&mut self.checks);
        Promise::ALL.into_iter().filter(|promise| !self.checks.get(*promise).ok).collect()
    }
}

fn event(version: i64) -> Event<'static> {
    let id = Uuid::from_u128(u128::try_from(version).unwrap());
    Event { key: KEY, version, id, number: 1, at: 5_000_000, trace: None, payload: b"content" }
}

#[test]
fn what_was_said_and_published_in_order_is_well() {
    let topic =
        Topic::new().row(1, Publication::Yes).row(2, Publication::Yes).row(3, Publication::NotYet);
    let topic = topic.message(1).message(2);
    let key = Uuid::try_parse_ascii(KEY).unwrap().as_u128();
    assert_eq!(topic.said.reached(key), KeyProgress { outbox: 3, outbox_at: 5 });
    assert_eq!(topic.broken(), []);
}

#[test]
fn redelivered_runs_are_no_gap() {
    let topic = Topic::new().row(1, Publication::Yes).row(2, Publication::Yes);
    assert_eq!(topic.message(1).message(2).message(1).message(2).broken(), []);
}

#[test]
fn an_event_that_was_published_and_is_nowhere_is_found() {
    assert_eq!(Topic::new().row(1, Publication::Yes).broken(), [Promise::OutboxInKafka]);
    let last = Topic::new().row(1, Publication::Yes).row(2, Publication::Yes).message(1);
    assert_eq!(last.broken(), [Promise::OutboxInKafka]);
}

#[test]
fn what_is_not_published_yet_is_not_missed() {
    assert_eq!(Topic::new().row(1, Publication::NotYet).broken(), []);
}

#[test]
fn what_retention_removed_is_not_missed() {
    assert_eq!(Topic::new().row(1, Publication::LongAgo).broken(), []);
    let trimmed = Place { is_trimmed: true, ..THERE };
    let rest = Topic::new().row(1, Publication::LongAgo).row(2, Publication::LongAgo);
    assert_eq!(rest.message_at(event(2), trimmed).broken(), []);
}

#[test]
fn a_gap_is_found_and_an_event_in_it_is_lost() {
    let topic =
        Topic::new().row(1, Publication::Yes).row(2, Publication::Yes).row(3, Publication::Yes);
    let broken = topic.message(1).message(3).broken();
    assert_eq!(broken, [Promise::OutboxInKafka, Promise::VersionsGapFree]);
}

#[test]
fn a_key_that_does_not_begin_with_its_first_event_is_found() {
    assert_eq!(Topic::new().message(2).broken(), [Promise::VersionsGapFree]);
}

#[test]
fn another_content_under_the_same_version_is_found() {
    let other = Event { payload: b"other", ..event(1) };
    let broken = Topic::new().row(1, Publication::Yes).message_at(other, THERE).broken();
    assert_eq!(broken, [Promise::DuplicatesIdentical]);
    let broken = Topic::new().message(1).message_at(other, THERE).broken();
    assert_eq!(broken, [Promise::DuplicatesIdentical]);
    let other = Event { id: Uuid::from_u128(99), ..event(1) };
    let broken = Topic::new().message(1).message_at(other, THERE).broken();
    assert_eq!(broken, [Promise::DuplicatesIdentical]);
}

#[test]
fn another_envelope_than_the_outbox_has_is_found() {
    let others = [
        Event { number: 2, ..event(1) },
        Event { at: 5_000_001, ..event(1) },
        Event { trace: Some([7; 25]), ..event(1) },
    ];
    for other in others {
        let broken = Topic::new().row(1, Publication::Yes).message_at(other, THERE).broken();
        assert_eq!(broken, [Promise::DuplicatesIdentical]);
    }
}

#[test]
fn a_topic_that_was_made_anew_and_replayed_is_well() {
    let rows = || Topic::without_its_first_rows().row(3, Publication::Yes).row(4, Publication::Yes);
    assert_eq!(rows().message(3).message(4).broken(), []);
    assert_eq!(rows().message(4).broken(), [Promise::OutboxInKafka, Promise::VersionsGapFree]);
    assert_eq!(rows().broken(), [Promise::OutboxInKafka]);
    let whole = Topic::new().row(1, Publication::Yes).row(2, Publication::Yes);
    let replayed = whole.message(1).message(2).message(1).message(2);
    assert_eq!(replayed.message(1).message(2).broken(), []);
}

#[test]
fn what_somebody_put_there_by_hand_is_told_from_what_was_said() {
    let topic = Topic::new().row(1, Publication::Yes);
    let order = Uuid::try_parse_ascii(KEY).unwrap().as_u128();
    assert!(topic.said.is_genuine(order, event(1)));
    assert!(topic.said.is_genuine(order, event(7)));
    assert!(!topic.said.is_genuine(order, Event { payload: b"other", ..event(1) }));
}

#[test]
fn a_key_on_two_partitions_is_found() {
    let elsewhere = Place { partition: 4, ..THERE };
    let broken = Topic::new().message(1).message_at(event(2), elsewhere).broken();
    assert_eq!(broken, [Promise::OnePartitionAKey]);
}

#[test]
fn an_outbox_that_jumps_is_found() {
    let broken = Topic::new().row(1, Publication::NotYet).row(3, Publication::NotYet).broken();
    assert_eq!(broken, [Promise::VersionsAgree]);
}

#[test]
fn compaction_leaves_gaps_but_not_before_the_last() {
    let compacted = || Topic {
        said: TopicContents::on("shop.catalogue.v1", true, true),
        checks: Checks::default(),
    };
    let sku = |version| Event { key: b"mug", ..event(version) };
    let said = |mut topic: Topic| {
        for version in 1..=3 {
            topic.said.row(sku(version), Publication::Yes, &mut topic.checks);
        }
        topic
    };
    assert_eq!(said(compacted()).message_at(sku(1), THERE).message_at(sku(3), THERE).broken(), []);
    let last_lost = said(compacted()).message_at(sku(1), THERE);
    assert_eq!(last_lost.broken(), [Promise::OutboxInKafka]);
}
