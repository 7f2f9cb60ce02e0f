//! A message's envelope: the headers that the relay wrote.

use proto::{EventType, cloud_events, trace_context};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use uuid::Uuid;

use super::{content, facts::MessageFacts, said::Event};

/// A message that is an event of the shop.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventMessage<'a> {
    pub(super) event: Event<'a>,
    /// What the envelope tells of it: its content is not read yet.
    pub(super) facts: MessageFacts,
    /// Whether its headers name a source, key or incarnation that cannot be.
    pub(super) is_flawed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Envelope<'a> {
    kind: Option<&'static EventType>,
    source: &'a str,
    subject: &'a str,
    id: Option<Uuid>,
    version: Option<i64>,
    time: i64,
    incarnation: Option<i32>,
    trace: Option<[u8; 25]>,
}

/// Reads a message if it is an event of the shop: of a type that is published on its topic.
/// `incarnations` is how many its source has had.
pub(super) fn read<'a>(
    message: &'a BorrowedMessage<'_>,
    incarnations: i32,
) -> Option<EventMessage<'a>> {
    let mut envelope = Envelope::default();
    for header in message.headers()?.iter() {
        envelope.take(header.key, std::str::from_utf8(header.value?).ok()?);
    }
    let kind = envelope.kind.filter(|kind| kind.topic == message.topic())?;
    let (key, payload) = (message.key()?, message.payload()?);
    let version = envelope.version.filter(|it| *it > 0)?;
    let millis = message.timestamp().to_millis().unwrap_or_default();
    Some(EventMessage {
        event: Event {
            key,
            version,
            id: envelope.id?,
            number: kind.number,
            at: envelope.time,
            trace: envelope.trace,
            payload,
        },
        facts: MessageFacts {
            // The member's number is in the first byte.
            tag: payload.first().map(|byte| usize::from(byte >> 3))?,
            version: u32::try_from(version).unwrap_or(u32::MAX),
            partition: message.partition(),
            offset: message.offset(),
            at: u32::try_from(millis / 1_000).unwrap_or_default(),
            ..MessageFacts::default()
        },
        is_flawed: envelope.source != kind.source()
            || envelope.subject.as_bytes() != key
            || envelope.incarnation.is_none_or(|it| !(1..=incarnations).contains(&it)),
    })
}

impl<'a> Envelope<'a> {
    fn take(&mut self, name: &str, value: &'a str) {
        match name {
            cloud_events::TYPE => self.kind = EventType::named(value),
            cloud_events::SOURCE => self.source = value,
            cloud_events::SUBJECT => self.subject = value,
            cloud_events::ID => self.id = Uuid::try_parse(value).ok(),
            cloud_events::VERSION => self.version = value.parse().ok(),
            cloud_events::TIME => {
                self.time = chassis::clock::parse(value).map_or(0, content::micros);
            }
            cloud_events::INCARNATION => self.incarnation = value.parse().ok(),
            cloud_events::TRACEPARENT => {
                self.trace = Some(trace_context::parse(value).unwrap_or_default());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_the_outbox_keeps_it() {
        let trace = |text| {
            let mut envelope = Envelope::default();
            envelope.take("traceparent", text);
            envelope.trace.unwrap()
        };
        let kept = trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!((kept[0], kept[15], kept[16], kept[24]), (0x4b, 0x36, 0x00, 0x01));
        assert_eq!(trace("00-4bf9-00f0-01"), [0; 25]);
        assert_eq!(trace("4bf92f3577b34da6a3ce929d0e0e4736"), [0; 25]);
    }
}
