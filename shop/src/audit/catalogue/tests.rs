//! A read model that is behind, or holds something else, is found.

use proto::topic;

use super::*;
use crate::audit::said::{Event, Publication};

const NOW: u32 = 1_800_000_000;

/// A catalogue topic on which this version of the mug was published `seconds_ago`.
fn spoken(version: i64, seconds_ago: u32) -> TopicContents {
    let mut said = TopicContents::on(topic::CATALOGUE, true, false);
    let at = i64::from(NOW - seconds_ago) * 1_000_000;
    let (id, trace) = (uuid::Uuid::nil(), None);
    let event = Event { key: b"mug", version, id, number: 81, at, trace, payload: b"" };
    said.row(event, Publication::Yes, &mut Checks::default());
    said
}

fn mug(version: i64, content: u32) -> ProductRow {
    ProductRow { sku: "mug".into(), version, content }
}

#[test]
fn a_read_model_that_is_as_it_should_be_is_well() {
    let old = spoken(3, 900);
    assert!(differences(&[mug(3, 1)], vec![mug(3, 1)], &old, NOW).is_empty());
    // order-svc has heard of a later version than was read before.
    assert!(differences(&[mug(3, 1)], vec![mug(4, 2)], &old, NOW).is_empty());
    // order-svc is behind, and the version that it has not heard of is young.
    assert!(differences(&[mug(3, 1)], vec![mug(2, 7)], &spoken(3, 5), NOW).is_empty());
    assert!(differences(&[mug(4, 1)], vec![mug(3, 7)], &old, NOW).is_empty());
}

#[test]
fn a_read_model_that_is_stale_or_wrong_is_found() {
    let old = spoken(3, 900);
    assert_eq!(differences(&[mug(3, 1)], vec![mug(3, 2)], &old, NOW).len(), 1);
    assert_eq!(differences(&[mug(3, 1)], vec![mug(2, 1)], &old, NOW).len(), 1);
    assert_eq!(differences(&[mug(3, 1)], Vec::new(), &old, NOW).len(), 1);
    assert_eq!(differences(&[], vec![mug(1, 1)], &old, NOW).len(), 1);
    // Nothing is in the outbox: the change was published long ago.
    let silent = TopicContents::on(topic::CATALOGUE, true, false);
    assert_eq!(differences(&[mug(3, 1)], vec![mug(2, 1)], &silent, NOW).len(), 1);
}

#[test]
fn a_product_that_was_said_otherwise_is_found() {
    let broken = |version: i64, content: u32| {
        let mut checks = Checks::default();
        let last = Last::from_iter([(number_of_name(b"mug"), (3, 1))]);
        said(&[mug(version, content)], &spoken(3, 900), &last, &mut checks);
        let is_broken = |promise: &Promise| !checks.get(*promise).ok;
        Promise::ALL.into_iter().filter(is_broken).collect::<Vec<_>>()
    };
    assert_eq!(broken(3, 1), []);
    assert_eq!(broken(3, 2), [Promise::ContentsAgree]);
    assert_eq!(broken(4, 1), [Promise::VersionsAgree]);
}
