//! The one place where the clock is read and new ids are made, and the one form in which instants are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// Now, in UTC, cut to microseconds: what PostgreSQL keeps, so that an instant is the same after a
/// round trip through the database.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> OffsetDateTime {
    micros(OffsetDateTime::now_utc())
}

/// A new UUIDv7: later ones sort later.
#[expect(clippy::disallowed_methods, reason = "the one source of new ids")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// `at` in UTC as RFC 3339 with exactly six digits and `Z`: `2026-11-20T10:00:00.000000Z`.
pub fn rfc3339(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let mut text = String::with_capacity(27);
    let year = u32::try_from(at.year()).unwrap_or_default();
    digits(&mut text, year, 4);
    for (mark, value) in [
        ('-', u32::from(u8::from(at.month()))),
        ('-', u32::from(at.day())),
        ('T', u32::from(at.hour())),
        (':', u32::from(at.minute())),
        (':', u32::from(at.second())),
    ] {
        text.push(mark);
        digits(&mut text, value, 2);
    }
    text.push('.');
    digits(&mut text, at.microsecond(), 6);
    text.push('Z');
    text
}

/// Parses an instant from RFC 3339 text with any offset, rounded up to microseconds: one of our own
/// instants lies before the result exactly when it lies before the instant as written.
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    let rounded = micros(at.checked_add(Duration::nanoseconds(999))?);
    (at.year() >= 0).then_some(rounded)
}

/// Serializes an instant: `#[serde(serialize_with = "chassis::clock::serialize")]`.
pub fn serialize<S: Serializer>(at: &OffsetDateTime, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&rfc3339(*at))
}

/// An instant as answers show it, in the form of [`rfc3339`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(OffsetDateTime);

impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        Self(at)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, out)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
            "description": "An instant in UTC, to the microsecond.",
        })
    }
}

fn micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_microsecond(at.microsecond()).unwrap_or(at)
}

fn digits(text: &mut String, value: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_u32.pow(place) % 10;
        text.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_with_six_digits_in_utc() {
        let at = parse("2026-11-20T12:00:00.5+02:00").unwrap();

        assert_eq!(rfc3339(at), "2026-11-20T10:00:00.500000Z");
        assert_eq!(parse(&rfc3339(at)), Some(at));
        assert_eq!(rfc3339(parse("0001-01-01T00:00:00.123456789Z").unwrap()).len(), 27);
        let before = parse("2026-11-20T10:00:00.000001000Z").unwrap();
        let bound = parse("2026-11-20T10:00:00.000001001Z").unwrap();
        assert!(before < bound, "what is written after an instant is read after it");
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("0000-01-01T00:00:00+23:00"), None);
    }

    #[test]
    fn the_clock_has_microseconds() {
        assert_eq!(now().nanosecond() % 1_000, 0);
    }
}
