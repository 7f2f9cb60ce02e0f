//! Compares the registry with the `.proto` files: nothing may be missing on either side.

use std::{collections::HashSet, fs, path::Path};

use proto::{EVENT_TYPES, EventType, source, topic};

use crate::samples;

/// The members of the `oneof event` in the file of `topic`: message, member name and number.
fn members(topic: &str) -> Vec<(String, String, i16)> {
    let file = format!("{}/events.proto", topic.replace('.', "/"));
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    assert!(text.contains(&format!("package {topic};")), "topics are named as packages");
    let (_, after) = text.split_once("oneof event {").unwrap();
    let (members, _) = after.split_once('}').unwrap();
    let member = |line: &str| {
        let words: Vec<_> = line.trim_end_matches(';').split_whitespace().collect();
        (words[0].to_owned(), words[1].to_owned(), words[3].parse().unwrap())
    };
    members.trim().lines().map(|line| member(line.trim())).collect()
}

#[test]
fn every_member_of_a_topic_is_registered_and_the_reverse() {
    let first = [(topic::ORDERS, 1), (topic::PAYMENTS, 21), (topic::STOCK, 41)];
    let more = [(topic::NOTIFICATIONS, 61), (topic::CATALOGUE, 81)];
    let mut seen = 0;

    for (topic, first) in first.into_iter().chain(more) {
        let registered: Vec<_> = EVENT_TYPES.iter().filter(|known| known.topic == topic).collect();
        let members = members(topic);

        seen += members.len();
        assert_eq!(registered.len(), members.len(), "{topic}");
        for (known, (message, member, number)) in registered.into_iter().zip(members) {
            assert_eq!(known.name, message);
            assert_eq!(member, known.member());
            assert_eq!(known.number, first + number - 1, "{message}");
        }
    }
    assert_eq!(seen, EVENT_TYPES.len());
}

#[test]
fn numbers_and_names_are_unique_and_found() {
    let numbers: HashSet<_> = EVENT_TYPES.iter().map(|known| known.number).collect();
    assert_eq!(numbers.len(), EVENT_TYPES.len());

    for known in EVENT_TYPES {
        assert_eq!(EventType::numbered(known.number), Some(known));
        assert_eq!(EventType::named(&known.full_name()), Some(known));
        assert_eq!(Some(known.source()), source(known.topic));
    }
    for unknown in ["", "OrderPlaced", "shop.orders.v1.", "shop.stock.v1.OrderPlaced"] {
        assert_eq!(EventType::named(unknown), None, "{unknown}");
    }
    assert_eq!(EventType::numbered(0), None);
    assert_eq!(source("shop.orders.v2"), None);
}

#[test]
fn names_are_as_the_envelope_writes_them() {
    let placed = EventType::numbered(1).unwrap();

    assert_eq!(placed.full_name(), "shop.orders.v1.OrderPlaced");
    assert_eq!(placed.source(), "/shop/order-svc");
}

#[test]
fn there_is_a_sample_of_every_event() {
    let sampled: Vec<_> = samples::all().iter().map(|event| *event.event_type()).collect();

    assert_eq!(sampled, EVENT_TYPES);
}
