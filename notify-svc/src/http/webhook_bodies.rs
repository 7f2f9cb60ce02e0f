//! The bodies of requests about webhooks.

use chassis::{
    Code,
    body::{Fields, Format, ParseResult},
    clock,
};
use proto::limits::TEXT_CHARS_MAX;
use reqwest::Url;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    carriers::guard::AddressPolicy,
    domain::{EventFilter, WebhookSettings, WebhookStatus},
    views::webhooks::EventName,
};

/// Names in a filter: there are fewer events.
const NAMES_MAX: usize = 100;

/// `{"url","events","description","status"}`, the last two of which may be absent.
pub(super) fn settings(
    fields: &mut Fields<'_>,
    addresses: AddressPolicy,
) -> Option<(WebhookSettings, Url)> {
    let place = Format::Named("uri");
    let url = fields.parsed_as("url", place, |text| Ok((text.to_owned(), url(text, addresses)?)));
    let events = events(fields);
    let description = fields.optional_words("description", TEXT_CHARS_MAX).map(ToOwned::to_owned);
    let status = fields.optional_parsed("status", |word| {
        WebhookStatus::parse(word).ok_or((Code::InvalidValue, "write enabled or disabled".into()))
    });
    let ((text, url), status) = (url?, status.unwrap_or(WebhookStatus::Enabled));
    Some((WebhookSettings { url: text, events: events?, description, status }, url))
}

/// Where a webhook leads, as far as its writing goes: an address that is not public is refused
/// unless a setting allows it, so is one over which everyone can read.
fn url(text: &str, addresses: AddressPolicy) -> ParseResult<Url> {
    let wrong = |why: &'static str| (Code::InvalidValue, why.into());
    let url = Url::parse(text).map_err(|_| wrong("write https://…"))?;
    let is_open = url.scheme() == "http" && addresses == AddressPolicy::Any;
    if !(url.scheme() == "https" || is_open) {
        return Err(wrong("write https://…"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong("must have no user, password or fragment"));
    }
    if addresses.allows_url(&url) { Ok(url) } else { Err(wrong(NOT_PUBLIC)) }
}

/// Why an address is refused.
pub(super) const NOT_PUBLIC: &str = "leads to an address that is not public";

fn events(fields: &mut Fields<'_>) -> Option<EventFilter> {
    let names = fields.names("events", NAMES_MAX, Format::of::<EventName>())?;
    let wrong = |at: usize| {
        let why = "is the name of no event";
        fields.refuse_within("events", &at.to_string(), Code::InvalidValue, why);
    };
    EventFilter::parse(names.into_iter()).map_err(wrong).ok()
}

/// `{"from","to"}`: the ids between which events of that time lie, without these two.
pub(super) fn period(fields: &mut Fields<'_>) -> Option<(Uuid, Uuid)> {
    let mut instant = |name| {
        fields.parsed_as(name, Format::Named("date-time"), |text| {
            let wrong = "has to be a time, such as 2026-11-20T10:00:00Z";
            clock::parse(text).ok_or((Code::InvalidValue, wrong.into()))
        })
    };
    let (from, to) = (instant("from"), instant("to"));
    let (from, to) = (from?, to?);
    if to < from {
        fields.refuse("to", Code::InvalidValue, "is before from");
        return None;
    }
    Some((first_id(millis(from)), first_id(millis(to) + 1)))
}

/// Milliseconds since 1970, none for an earlier time. Ids count in these.
fn millis(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

/// The smallest id of a millisecond; no event has it, because a UUIDv7 says that it is one.
fn first_id(millis: u64) -> Uuid {
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_public_and_encrypted_unless_private_ones_are_allowed() {
        let fits = |text: &str, addresses| url(text, addresses).is_ok();
        for text in ["https://x.example/hook?a=b", "https://x.example:8443"] {
            assert!(fits(text, AddressPolicy::PublicOnly), "{text}");
        }
        for text in ["http://127.0.0.1:9000/hook", "http://x.example", "https://[::1]/"] {
            assert!(!fits(text, AddressPolicy::PublicOnly), "{text}");
            assert!(fits(text, AddressPolicy::Any), "{text}");
        }
        for text in [
            "",
            "x",
            "/hook",
            "ftp://x.example/",
            "https://",
            "https://me@x.example/",
            "https://me:pw@x.example/",
            "https://x.example/#here",
            "mailto:me@x.example",
        ] {
            assert!(!fits(text, AddressPolicy::Any), "{text}");
        }
    }

    #[test]
    fn the_ids_of_a_period_are_those_of_its_milliseconds() {
        let id = |at: &str| first_id(millis(clock::parse(at).unwrap())).to_string();
        assert_eq!(id("1970-01-01T00:00:00.001Z"), "00000000-0001-0000-0000-000000000000");
        assert_eq!(id("1969-01-01T00:00:00Z"), "00000000-0000-0000-0000-000000000000");
        assert_eq!(id("9999-12-31T23:59:59.999Z"), "e677d21f-dbff-0000-0000-000000000000");
    }
}
