//! The headers of a message: CloudEvents 1.0 in Kafka's binary mode, made from an outbox row.
//!
//! Values are made in advance or on the stack: at 200,000 events a second, the only copies that can
//! be afforded are librdkafka's own.

use std::{collections::BTreeMap, sync::Arc};

use proto::{cloud_events, trace_context};
use rdkafka::message::{Header, OwnedHeaders};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::poll::Row;

/// Seconds from 1970 to 2000, where PostgreSQL's time begins.
pub(crate) const POSTGRES_EPOCH: u64 = 946_684_800;

/// Headers of a message, told to librdkafka in advance so that its list need not grow.
const HEADERS: usize = 10;

/// The topic and the name of a type number, as in `event_types`.
#[derive(Clone, Debug)]
pub(crate) struct EventType {
    pub(crate) number: i16,
    pub(crate) topic: String,
    pub(crate) name: String,
}

/// The source of a database's events, and its incarnation, as in `outbox_identity`.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) source: String,
    pub(crate) incarnation: i32,
}

/// Turns rows of one database into messages.
pub(crate) struct Envelope {
    kinds: BTreeMap<i16, Kind>,
}

/// The topic of an event type, and the headers that all its events share.
pub(crate) struct Kind {
    pub(crate) topic: Arc<str>,
    name: String,
    source: Arc<str>,
    incarnation: String,
}

impl Envelope {
    pub(crate) fn new(identity: &Identity, types: &[EventType]) -> Self {
        let source: Arc<str> = identity.source.as_str().into();
        let kind = |each: &EventType| {
            let kind = Kind {
                topic: each.topic.as_str().into(),
                name: format!("{}.{}", each.topic, each.name),
                source: Arc::clone(&source),
                incarnation: identity.incarnation.to_string(),
            };
            (each.number, kind)
        };
        Self { kinds: types.iter().map(kind).collect() }
    }

    /// The kind of a type number, if it is known.
    pub(crate) fn kind(&self, number: i16) -> Option<&Kind> {
        self.kinds.get(&number)
    }

    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<_> = self.kinds.values().map(|kind| Arc::clone(&kind.topic)).collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

impl Kind {
    /// The headers of one row.
    pub(crate) fn headers(&self, row: &Row<'_>) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(HEADERS);
        let headers = add(headers, cloud_events::SPECVERSION, b"1.0");
        let headers = add(headers, cloud_events::SOURCE, self.source.as_bytes());
        let headers = add(headers, cloud_events::TYPE, self.name.as_bytes());
        let headers = add(headers, cloud_events::INCARNATION, self.incarnation.as_bytes());
        let headers = add(headers, "content-type", b"application/protobuf");
        let headers = add(headers, cloud_events::SUBJECT, row.key);
        let id = Uuid::from_bytes(row.event_id);
        let mut text = Uuid::encode_buffer();
        let headers =
            add(headers, cloud_events::ID, id.hyphenated().encode_lower(&mut text).as_bytes());
        let headers = add(headers, cloud_events::TIME, &instant(row.created_at));
        let mut digits = [0; 20];
        let headers = add(headers, cloud_events::VERSION, decimal(row.version, &mut digits));
        match row.trace.and_then(|trace| trace.try_into().ok()) {
            Some(trace) => {
                let trace = trace_context::published(trace, &row.event_id);
                add(headers, cloud_events::TRACEPARENT, &trace_context::text(&trace))
            }
            None => headers,
        }
    }
}

fn add(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// RFC 3339 with six decimals of seconds, from microseconds since 2000.
fn instant(microseconds: i64) -> [u8; 27] {
    let nanos = (i128::from(POSTGRES_EPOCH) * 1_000_000 + i128::from(microseconds)) * 1_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    put(&mut text[0..4], at.year().unsigned_abs());
    put(&mut text[5..7], u32::from(u8::from(at.month())));
    put(&mut text[8..10], u32::from(at.day()));
    put(&mut text[11..13], u32::from(at.hour()));
    put(&mut text[14..16], u32::from(at.minute()));
    put(&mut text[17..19], u32::from(at.second()));
    put(&mut text[20..26], at.microsecond());
    text
}

/// Writes `number` with leading zeros into the whole of `place`.
fn put(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = digit_of(u64::from(number % 10));
        number /= 10;
    }
}

/// The decimal text of a positive number, without an allocation.
fn decimal(number: i64, place: &mut [u8; 20]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut start = place.len();
    loop {
        start -= 1;
        place[start] = digit_of(rest % 10);
        rest /= 10;
        if rest == 0 {
            return &place[start..];
        }
    }
}

fn digit_of(number: u64) -> u8 {
    b'0' + u8::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_six_digits_and_a_z() {
        assert_eq!(&instant(0), b"2000-01-01T00:00:00.000000Z");
        assert_eq!(&instant(848_569_153_000_007), b"2026-11-21T09:39:13.000007Z");
    }

    #[test]
    fn numbers_are_decimal_text() {
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(1, &mut [0; 20]), b"1");
        assert_eq!(decimal(i64::MAX, &mut [0; 20]), b"9223372036854775807");
    }
}
