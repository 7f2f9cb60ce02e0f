//! What services expect of each other's events: the files of `proto/expectations`, one for each
//! service that hears. The one who says an event shows that it meets them ([`assert_met`]), the one
//! who hears it that it needs nothing else ([`assert_sufficient`]), so neither needs the other.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{
    Message, Reactor,
    testing::{Fixture, OutboxRow, message},
};
use proto::{Event, EventType, catalogue, notifications, orders, payments, stock, topic};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The files, each with the service that holds what is in it.
const FILES: [(&str, &str); 4] = [
    ("order-svc", include_str!("../../../proto/expectations/order-svc.json")),
    ("payment-svc", include_str!("../../../proto/expectations/payment-svc.json")),
    ("inventory-svc", include_str!("../../../proto/expectations/inventory-svc.json")),
    ("notify-svc", include_str!("../../../proto/expectations/notify-svc.json")),
];

/// What one service expects of one type of event.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub holder: &'static str,
    pub event: &'static EventType,
    /// A sample of what is read, in protobuf's JSON form: every event has to have the same members
    /// with values of the same kind, none of them empty, zero or unspecified.
    reads: Value,
    /// Members whose value means something: at least one event has to have the sample's.
    exactly: Vec<String>,
    /// Members that may be zero: at least one event has to have another number.
    may_be_zero: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// For people: what the reader does with it.
    #[serde(rename = "why")]
    _why: String,
    reads: Value,
    #[serde(default)]
    exactly: Vec<String>,
    #[serde(default)]
    may_be_zero: Vec<String>,
}

/// All expectations.
pub fn all() -> Vec<Expectation> {
    let of_file = |(holder, text): (&'static str, &str)| {
        let entries: BTreeMap<String, Entry> =
            serde_json::from_str(text).expect("the file is a list of expectations by type");
        entries.into_iter().map(move |(name, Entry { reads, exactly, may_be_zero, .. })| {
            let event = EventType::named(&name).expect("the type is registered");
            Expectation { holder, event, reads, exactly, may_be_zero }
        })
    };
    FILES.into_iter().flat_map(of_file).collect()
}

/// What `holder` expects of others.
pub fn of(holder: &str) -> Vec<Expectation> {
    all().into_iter().filter(|it| it.holder == holder).collect()
}

/// Asserts that what `service` said meets all that is expected of it. Every type of which something
/// is expected has to be among it.
pub fn assert_met(service: &str, said: &[OutboxRow]) {
    let said: Vec<Event> = said.iter().map(event_of).collect();
    let source = format!("/shop/{service}");
    let mut unmet = Vec::new();
    for it in all().into_iter().filter(|it| it.event.source() == source) {
        let events: Vec<Value> = said
            .iter()
            .filter(|event| event.event_type() == it.event)
            .map(Event::to_json)
            .collect();
        unmet.extend(it.unmet(&events));
    }
    assert!(unmet.is_empty(), "{}", unmet.join("\n"));
}

/// Asserts that a service does something about a sample that has only what it expects, and parks
/// nothing.
pub async fn assert_sufficient<R: Reactor>(
    expected: &Expectation,
    fixture: &mut Fixture<R>,
    sample: Message,
) {
    let before = effects(fixture).await;
    let parked = fixture.hear(vec![sample]).await;
    let Expectation { holder, event, .. } = expected;
    let after = effects(fixture).await;
    let why = &after["parked_keys"];
    assert_eq!(parked, 0, "{holder} needs more of {} than it expects: {why:?}", event.name);
    assert_ne!(before, after, "{holder} does nothing about {}", event.name);
}

/// The rows of all tables but the inbox, which has every message that is not ignored.
async fn effects<R: Reactor>(fixture: &mut Fixture<R>) -> BTreeMap<String, Vec<String>> {
    let mut rows = fixture.dump().await;
    rows.remove("inbox");
    rows
}

fn event_of(row: &OutboxRow) -> Event {
    let known = EventType::numbered(row.event_type).expect("what is said is registered");
    let event = Event::decode(known.topic, &row.payload).expect("what is said can be read");
    event.expect("what is said is known")
}

impl Expectation {
    /// The sample as a message about `key`.
    pub fn message(&self, key: &str, version: i64) -> Message {
        let mut reads = self.reads.clone();
        let subject = if self.event.topic == topic::CATALOGUE { "sku" } else { "order_id" };
        reads[subject] = Value::from(key);
        let payload = self.event_with(reads).encode();
        message(self.event.topic, key, &self.event.full_name(), version, payload)
    }

    fn event_with(&self, reads: Value) -> Event {
        let member = self.event.member();
        let whole = Value::Object(Map::from_iter([(member, numbers_as_text(reads))]));
        let read = match self.event.topic {
            topic::ORDERS => from::<orders::OrderEvent>(whole).event.map(Event::Orders),
            topic::PAYMENTS => from::<payments::PaymentEvent>(whole).event.map(Event::Payments),
            topic::STOCK => from::<stock::StockEvent>(whole).event.map(Event::Stock),
            topic::NOTIFICATIONS => {
                from::<notifications::NotificationEvent>(whole).event.map(Event::Notifications)
            }
            _ => from::<catalogue::CatalogueEvent>(whole).event.map(Event::Catalogue),
        };
        read.expect("the sample is of its type")
    }

    /// What these events, in the readable form, do not have that is expected of each.
    fn unmet(&self, events: &[Value]) -> BTreeSet<String> {
        let name = self.event.name;
        let fault = |what: String| format!("{} expects of {name}: {what}", self.holder);
        if events.is_empty() {
            return BTreeSet::from([fault("that the test says one".to_owned())]);
        }
        let mut expected = self.event_with(self.reads.clone()).to_json();
        let mut unmet = Vec::new();
        for member in &self.may_be_zero {
            expected[member].take();
            if events.iter().all(|event| is_nothing(&event[member])) {
                unmet.push(format!("one with a {member} that is not zero"));
            }
        }
        for event in events {
            compare(&expected, event, name, &mut unmet);
        }
        for member in &self.exactly {
            if events.iter().all(|event| event[member] != expected[member]) {
                unmet.push(format!("one with {member} {}", expected[member]));
            }
        }
        unmet.into_iter().map(fault).collect()
    }
}

/// Notes where `said` lacks what `expected` has, or has it empty, zero or unspecified.
fn compare(expected: &Value, said: &Value, path: &str, unmet: &mut Vec<String>) {
    if is_nothing(expected) {
        return;
    }
    let mut wrong = |what: &str| unmet.push(format!("{path} {what}, and not {said}"));
    match (expected, said) {
        (Value::Object(expected), Value::Object(said)) => {
            for (name, value) in expected {
                let said = said.get(name).unwrap_or(&Value::Null);
                compare(value, said, &format!("{path}.{name}"), unmet);
            }
        }
        (Value::Array(expected), Value::Array(said)) if !said.is_empty() => {
            for item in said {
                compare(&expected[0], item, &format!("{path}[]"), unmet);
            }
        }
        (Value::String(expected), Value::String(said)) => {
            if kind(expected) != kind(said) || is_nothing(&Value::from(said.as_str())) {
                wrong(&format!("like {expected}"));
            }
        }
        (Value::Number(_), Value::Number(_)) if !is_nothing(said) => {}
        _ => wrong(&format!("like {expected}")),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.to_string() == "0",
        Value::String(text) => {
            text.is_empty() || text == "unspecified" || text.trim_matches(['0', '.']).is_empty()
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// What a text is, as far as a reader cares.
fn kind(text: &str) -> &'static str {
    if proto::OrderId::parse(text).is_ok() {
        "id"
    } else if chassis::clock::parse(text).is_some() {
        "time"
    } else if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        "number"
    } else {
        "text"
    }
}

fn from<T: for<'de> Deserialize<'de>>(value: Value) -> T {
    serde_json::from_value(value).expect("a sample has only members of its type")
}

/// Protobuf's JSON form may have numbers as texts, which is how it can be read where `serde_json`
/// keeps them as they are written.
fn numbers_as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => number.to_string().into(),
        Value::Array(items) => items.into_iter().map(numbers_as_text).collect(),
        Value::Object(members) => {
            let text = |(name, value)| (name, numbers_as_text(value));
            members.into_iter().map(text).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(holder: &str, name: &str) -> Expectation {
        of(holder).into_iter().find(|it| it.event.name == name).expect("it is held")
    }

    fn unmet(holder: &str, event: impl Into<Event>) -> String {
        let event: Event = event.into();
        let expected = expectation(holder, event.event_type().name);
        expected.unmet(&[event.to_json()]).into_iter().collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_event_that_lacks_what_is_read_is_told() {
        let whole = stock::StockRejected {
            order_id: "01932c1e-7b5a-7c3d-8e4f-0123456789ad".to_owned(),
            revision: 3,
            missing: vec![stock::Shortage { sku: "pot".to_owned(), wanted: 9, available: 4 }],
        };
        assert_eq!(unmet("order-svc", whole.clone()), "");
        for (lacking, place) in [
            (stock::StockRejected { revision: 0, ..whole.clone() }, "StockRejected.revision "),
            (stock::StockRejected { missing: vec![], ..whole.clone() }, "StockRejected.missing "),
            (
                stock::StockRejected { missing: vec![stock::Shortage::default()], ..whole.clone() },
                "StockRejected.missing[].wanted ",
            ),
            (
                stock::StockRejected { order_id: "mug".to_owned(), ..whole },
                "StockRejected.order_id like 0",
            ),
        ] {
            let told = unmet("order-svc", lacking);
            assert!(told.contains(place), "{told}");
        }
    }

    #[test]
    fn a_value_that_means_something_has_to_be_said_once_at_least() {
        let sent = |template: &str| notifications::NotificationSent {
            order_id: "01932c1e-7b5a-7c3d-8e4f-0123456789ad".to_owned(),
            template: template.to_owned(),
            ..Default::default()
        };
        assert_eq!(unmet("order-svc", sent("order_confirmation")), "");
        assert!(unmet("order-svc", sent("order_confirmed")).contains("one with template"));
    }

    #[test]
    fn every_sample_is_of_its_type_and_nobody_expects_anything_of_itself() {
        for it in all() {
            assert_ne!(it.event.source(), format!("/shop/{}", it.holder));
            let sample = it.message("01932c1e-7b5a-7c3d-8e4f-0123456789ad", 1);
            assert!(Event::decode(&sample.topic, &sample.payload).unwrap().is_some());
            let meets = it.unmet(&[it.event_with(it.reads.clone()).to_json()]);
            assert!(meets.is_empty(), "{meets:?}");
        }
    }
}
