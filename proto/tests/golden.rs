//! The bytes of every event, as stored messages in topics and outboxes have them.
//!
//! A changed line means that messages which exist already would be read differently: do not change
//! one, only add lines for new events.

use std::{fmt::Write, fs, path::Path};

use proptest::prelude::*;
use proto::{DecodeError, Event, orders, topic};

use crate::samples;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn the_bytes_of_every_event_stay_as_they_are() {
    let lines = samples::all().into_iter().map(|event| {
        let event_type = event.event_type();
        format!("{} {} {}\n", event_type.number, event_type.full_name(), hex(&event.encode()))
    });
    let now: String = lines.collect();

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events.golden");
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("events.golden");
    fs::write(&written, &now).unwrap();

    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(now, expected, "{} is what there is now", written.display());
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for event in samples::all() {
        assert_eq!(Event::decode(event.topic(), &event.encode()), Ok(Some(event.clone())));
    }
}

#[test]
fn an_event_of_a_newer_build_is_none() {
    // Member 99, with two bytes of content.
    let unknown = [0x9a, 0x06, 0x02, 0x0a, 0x00];

    for topic in topic::ALL {
        assert_eq!(Event::decode(topic, &unknown), Ok(None), "{topic}");
    }
}

#[test]
fn a_field_of_a_newer_build_is_skipped() {
    let known = orders::OrderDelivered {
        order_id: samples::ORDER.into(),
        customer_id: "c".into(),
        revision: 1,
    };
    let mut newer = Event::from(known.clone()).encode();
    // Field 99 inside the member, whose length is the second byte.
    newer.extend([0x9a, 0x06, 0x01, 0x2a]);
    newer[1] += 4;

    assert_eq!(Event::decode(topic::ORDERS, &newer), Ok(Some(known.into())));
}

#[test]
fn bytes_that_say_nothing_are_errors() {
    for topic in topic::ALL {
        assert_eq!(Event::decode(topic, &[]), Err(DecodeError::Empty));
        assert!(matches!(Event::decode(topic, &[0x0a, 9]), Err(DecodeError::Malformed(_))));
    }
    let unknown = Event::decode("shop.orders.v2", &[1]);
    assert_eq!(unknown, Err(DecodeError::UnknownTopic("shop.orders.v2".into())));
}

proptest! {
    #[test]
    fn no_bytes_break_decoding(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for topic in topic::ALL {
            if let Ok(Some(event)) = Event::decode(topic, &bytes) {
                prop_assert_eq!(event.topic(), topic);
                prop_assert!(event.to_json().is_object());
            }
        }
    }
}
