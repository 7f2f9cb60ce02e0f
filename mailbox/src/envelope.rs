//! CloudEvents headers of a Kafka message, read into a [`Message`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use proto::{cloud_events, trace_context};
use rdkafka::{
    Message as _,
    message::{BorrowedHeaders, BorrowedMessage, Headers},
};
use uuid::Uuid;

use crate::message::{Message, Park};

/// Headers of one message that are read, from the first: our own messages have ten.
const HEADERS_MAX: usize = 100;
/// Bytes of a header's value at most: our own are shorter, so a longer one is not usable.
const HEADER_BYTES_MAX: usize = 256;

/// Reads a message. Fields that its envelope lacks stay empty, and the second value is the reason
/// to park it.
pub(crate) fn open(raw: &BorrowedMessage<'_>, topic: Arc<str>) -> (Message, Option<Park>) {
    let mut message = Message {
        topic,
        partition: raw.partition(),
        offset: raw.offset(),
        key: raw.key().map(<[u8]>::to_vec),
        event_id: Uuid::nil(),
        event_type: String::new(),
        source: String::new(),
        version: 0,
        trace: None,
        payload: raw.payload().unwrap_or_default().to_vec(),
    };
    if let Some(headers) = raw.headers() {
        for index in 0..headers.count().min(HEADERS_MAX) {
            if let Some((name, value)) = header(headers, index) {
                read(&mut message, name, value);
            }
        }
    }
    let lacks = [
        // All zeros is nobody's id: the inbox could not tell two such messages apart.
        (message.event_id.is_nil(), cloud_events::ID),
        (message.event_type.is_empty(), cloud_events::TYPE),
        (message.version <= 0, cloud_events::VERSION),
    ];
    let flaw = Park::no_envelope(&lacks);
    (message, flaw)
}

/// One header by its index; `None` if it is unusable. rdkafka panics at a header name that is not
/// UTF-8: such a header is none of ours, so the panic is caught and the header skipped.
fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&str, &str)> {
    let header = catch_unwind(AssertUnwindSafe(|| headers.get(index))).ok()?;
    Some((header.key, usable(header.value)?))
}

/// A header's value as text: at most [`HEADER_BYTES_MAX`] bytes of UTF-8 without NUL, as ours all
/// are.
fn usable(value: Option<&[u8]>) -> Option<&str> {
    let value = value.filter(|value| value.len() <= HEADER_BYTES_MAX)?;
    std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'))
}

/// Writes one header into the message's field; unknown headers are ignored.
fn read(message: &mut Message, name: &str, value: &str) {
    match name {
        cloud_events::ID => {
            if let Ok(id) = Uuid::try_parse(value) {
                message.event_id = id;
            }
        }
        cloud_events::TYPE => value.clone_into(&mut message.event_type),
        cloud_events::SOURCE => value.clone_into(&mut message.source),
        cloud_events::VERSION => message.version = value.parse().unwrap_or(0),
        cloud_events::TRACEPARENT => message.trace = trace_context::parse(value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_none_of_ours_would_write_is_as_good_as_absent() {
        assert_eq!(usable(Some(b"shop.orders.v1.OrderPlaced")), Some("shop.orders.v1.OrderPlaced"));
        assert_eq!(usable(Some(&[b't'; 256])).map(str::len), Some(256));
        for strange in [&[b't'; 257][..], &vec![b't'; 1_000_000], b"a\0b", b"\xff"] {
            assert_eq!(usable(Some(strange)), None);
        }
        assert_eq!(usable(None), None);
    }

    #[test]
    fn an_id_of_zeros_is_none() {
        let mut message = crate::testing::message("t", "k", "t.Said", 1, Vec::new());
        read(&mut message, cloud_events::ID, "00000000-0000-0000-0000-000000000000");
        assert!(message.event_id.is_nil());
        read(&mut message, cloud_events::ID, "no id at all");
        assert!(message.event_id.is_nil());
    }
}
