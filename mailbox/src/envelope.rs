//! CloudEvents headers of a Kafka message, read into a [`Message`].

use std::sync::Arc;

use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers},
};
use uuid::Uuid;

use crate::message::{Message, Park, Trace};

/// Reads a message. What its envelope lacks stays empty, and is told as the reason to park it.
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
        time: String::new(),
        trace: None,
        payload: raw.payload().unwrap_or_default().to_vec(),
    };
    let mut has_id = false;
    if let Some(headers) = raw.headers() {
        for header in headers.iter() {
            let Some(value) = header.value.and_then(|value| std::str::from_utf8(value).ok()) else {
                continue;
            };
            match header.key {
                "ce_id" => {
                    if let Ok(id) = Uuid::try_parse(value) {
                        message.event_id = id;
                        has_id = true;
                    }
                }
                "ce_type" => value.clone_into(&mut message.event_type),
                "ce_source" => value.clone_into(&mut message.source),
                "ce_time" => value.clone_into(&mut message.time),
                "ce_version" => message.version = value.parse().unwrap_or(0),
                "traceparent" => message.trace = parse_trace(value),
                _ => {}
            }
        }
    }
    let lacks = [
        (!has_id, "ce_id"),
        (message.event_type.is_empty(), "ce_type"),
        (message.version <= 0, "ce_version"),
    ];
    let lacking: Vec<&str> =
        lacks.iter().filter(|(lacks, _)| *lacks).map(|(_, name)| *name).collect();
    let flaw = (!lacking.is_empty()).then(|| Park {
        class: "no_envelope",
        reason: format!("the message has no usable header {}", lacking.join(", ")),
    });
    (message, flaw)
}

/// `00-<trace id>-<span id>-<flags>` in its 25 bytes; anything else is no trace.
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
