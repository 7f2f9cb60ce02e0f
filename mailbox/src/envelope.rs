//! CloudEvents headers of a Kafka message, read into a [`Message`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rdkafka::{
    Message as _,
    message::{BorrowedHeaders, BorrowedMessage, Headers},
};
use uuid::Uuid;

use crate::message::{Message, Park, Trace};

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
        (message.event_id.is_nil(), "ce_id"),
        (message.event_type.is_empty(), "ce_type"),
        (message.version <= 0, "ce_version"),
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
        "ce_id" => {
            if let Ok(id) = Uuid::try_parse(value) {
                message.event_id = id;
            }
        }
        "ce_type" => value.clone_into(&mut message.event_type),
        "ce_source" => value.clone_into(&mut message.source),
        "ce_version" => message.version = value.parse().unwrap_or(0),
        "traceparent" => message.trace = parse_trace(value),
        _ => {}
    }
}

/// The 25 bytes of a `traceparent`, `00-<trace id>-<span id>-<flags>`; anything else is no trace.
fn parse_trace(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let mut bytes = [0; 25];
    for (place, digits) in [(0, trace), (16, span), (24, flags)] {
        for (index, pair) in digits.as_bytes().chunks_exact(2).enumerate() {
            let pair = std::str::from_utf8(pair).ok()?;
            bytes[place + index] = u8::from_str_radix(pair, 16).ok()?;
        }
    }
    Some(bytes)
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
        read(&mut message, "ce_id", "00000000-0000-0000-0000-000000000000");
        assert!(message.event_id.is_nil());
        read(&mut message, "ce_id", "no id at all");
        assert!(message.event_id.is_nil());
    }

    #[test]
    fn a_traceparent_is_kept_in_25_bytes() {
        let trace = parse_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(trace[0], 0x4b);
        assert_eq!(trace[16], 0x00);
        assert_eq!(trace[17], 0xf0);
        assert_eq!(trace[24], 1);
        assert_eq!(parse_trace("nonsense"), None);
        assert_eq!(parse_trace("00-4bf9-00f0-01"), None);
    }
}
