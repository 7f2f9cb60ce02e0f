//! Messages read as the shop's events, and events made ready for the outbox.

use mailbox::{Announced, BATCH, COMMAND_DEADLINE, Message, Options, Park, Turn};
use proto::{EVENT_TYPES, Event};

/// A mailbox's options for a service that says what is on `topics`.
pub fn options(service: &'static str, topics: &[&str], database_url: &str, kafka: &str) -> Options {
    let said = EVENT_TYPES.iter().filter(|it| topics.contains(&it.topic));
    let event_types: Vec<_> = said.clone().map(|it| (it.number, it.topic, it.name)).collect();
    let source = said.map(proto::EventType::source).next().expect("every service says something");
    Options {
        database_url: database_url.to_owned(),
        kafka: kafka.to_owned(),
        service,
        instance: String::new(),
        source,
        event_types,
        weekly: &[],
        clock: chassis::clock::now,
        batch: BATCH,
        command_deadline: COMMAND_DEADLINE,
    }
}

/// What a message says. `None`: an event that this build does not know, skipped and counted, so
/// that a newer neighbour's words stop nobody.
pub fn decode(message: &Message) -> Result<Option<Event>, Park> {
    match Event::decode(&message.topic, &message.payload) {
        Ok(None) => {
            mailbox::metrics::unknown_type();
            Ok(None)
        }
        Ok(Some(event)) if event.event_type().full_name() != message.event_type => {
            if proto::EventType::named(&message.event_type).is_none() {
                mailbox::metrics::unknown_type();
                return Ok(None);
            }
            let said = event.event_type().name;
            Err(Park::undecodable(format!(
                "it says {said} and calls itself {}",
                message.event_type
            )))
        }
        Ok(event) => Ok(event),
        Err(error) => Err(Park::undecodable(error.to_string())),
    }
}

/// An event for the outbox: the `version`th that is said about `key`.
pub fn announce(turn: &Turn, key: Vec<u8>, version: i64, event: impl Into<Event>) -> Announced {
    let event = event.into();
    Announced {
        event_id: turn.new_id(),
        key,
        version,
        event_type: event.event_type().number,
        payload: event.encode(),
    }
}
