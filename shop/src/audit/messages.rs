//! Reads topics: each message is compared with the outbox, added to the facts of its order, and
//! looked for in the inboxes of the services that had to hear it.

use proto::topic;
use rdkafka::message::Message as _;
use uuid::Uuid;

use super::{
    check::{Checks, Promise},
    content,
    envelope::{self, EventMessage},
    facts::{Orders, SERVICES, TOPICS},
    history,
    inbox::{self, Inboxes},
    interventions::Interventions,
    judge::View,
    said::{Place, TopicContents},
    topics::Topic,
};
use crate::{Stack, by_id::ById, terminal};

/// What is needed to read a topic.
pub(super) struct Listener<'a> {
    pub(super) view: &'a View,
    pub(super) inboxes: &'a Inboxes,
    /// How many incarnations the topic's source has had.
    pub(super) incarnations: i32,
    /// Whether the outbox still holds all that was ever published on the topic.
    pub(super) is_whole: bool,
}

/// Reads a topic from its beginning. Returns the time before which an order must have begun for the
/// topic to have deleted its events; 0 if it has deleted none.
pub(super) fn read(
    topic: &mut Topic,
    said: &mut TopicContents,
    orders: &mut Orders,
    listener: &Listener<'_>,
    checks: &mut Checks,
) -> anyhow::Result<u32> {
    let (at, name, trimmed) = (topic.at, topic.name, topic.trimmed());
    let may_forget = topic.is_trimmed() || !listener.is_whole;
    let mut first: Vec<Option<u32>> = vec![None; trimmed.len()];
    let mut foreign = 0_u64;
    topic.read(|message| {
        let partition = usize::try_from(message.partition()).unwrap_or_default();
        let Some(received) = envelope::read(message, listener.incarnations) else {
            foreign += 1;
            return;
        };
        first[partition].get_or_insert(received.facts.at);
        let event = received.event;
        let order = Uuid::try_parse_ascii(event.key).map(|id| id.as_u128()).ok();
        let order_or_none = order.unwrap_or_default();
        // A message that was put there by hand and discarded by an operator was never announced.
        if listener.view.interventions.names(event.id) && !said.is_genuine(order_or_none, event) {
            foreign += 1;
            return;
        }
        let place = Place { partition: message.partition(), is_trimmed: trimmed[partition] };
        let is_new = said.message(event, place, checks);
        if received.is_flawed {
            checks.broken(Promise::ContentsAgree, || {
                let place = (message.partition(), message.offset());
                format!("source, subject or incarnation of {place:?} on {name} cannot be")
            });
        }
        if let Some(order) = order {
            take(at, &received, is_new, (order, orders), &listener.view.interventions);
            heard(at, &received, listener, checks);
        }
    })?;
    if foreign > 0 {
        terminal::note(format_args!("{foreign} messages on {name} are no events of ours"));
    }
    said.finish(checks);
    let oldest_kept = first.into_iter().flatten().max().unwrap_or_default();
    Ok(if may_forget { oldest_kept } else { 0 })
}

/// Reads on from where a topic was read to, for orders that are known already.
pub(super) fn read_on(
    at: usize,
    topic: &mut Topic,
    orders: &mut Orders,
    interventions: &Interventions,
) -> anyhow::Result<()> {
    topic.read(|message| {
        let Some(received) = envelope::read(message, i32::MAX) else { return };
        let order = Uuid::try_parse_ascii(received.event.key).map_or(0, |id| id.as_u128());
        if let Some(facts) = orders.get(order) {
            let is_new = received.facts.version > facts.said[at].version;
            take(at, &received, is_new, (order, orders), interventions);
        }
    })
}

/// Adds a message to the facts of its order.
fn take(
    at: usize,
    received: &EventMessage<'_>,
    is_new: bool,
    (order, orders): (u128, &mut Orders),
    interventions: &Interventions,
) {
    let (event, mut heard) = (received.event, received.facts);
    let facts = orders.of(order);
    if is_new {
        let decoded = proto::Event::decode(TOPICS[at], event.payload).ok().flatten();
        let mut row = Vec::new();
        if let Some(decoded) = decoded {
            (heard.content, heard.terms) = (content::of(&decoded), content::terms_of(&decoded));
            row = content::in_history(decoded);
        }
        if !interventions.is_other_in_history(at, order, heard.version) {
            let row = history::row_hash(event.id, event.number, event.version, &row);
            facts.told_history = facts.told_history.wrapping_add(row);
        }
    }
    facts.said[at].message(&heard, is_new);
}

/// A service that has consumed a message that it has to hear must have taken it in.
fn heard(at: usize, received: &EventMessage<'_>, listener: &Listener<'_>, checks: &mut Checks) {
    let (view, facts) = (listener.view, received.facts);
    let is_consumed = view.consumed.is_past(at, facts.partition, facts.offset);
    if !is_consumed || !inbox::is_kept(facts.at, view.now) {
        return;
    }
    checks.looked(Promise::NothingMissed, 1);
    let id = received.event.id;
    for service in listener.inboxes.missing(at, facts.tag, id.as_u128()) {
        checks.broken(Promise::NothingMissed, || {
            format!(
                "{} has passed over version {} of {} on {}, event {id}",
                SERVICES[service],
                received.event.version,
                String::from_utf8_lossy(received.event.key),
                TOPICS[at]
            )
        });
    }
}

/// The last message about each product: its version, and its content as a number.
pub(super) type Last = ById<(i64, u32)>;

/// Reads the catalogue's topic.
pub(super) fn catalogue(
    stack: &Stack,
    said: &mut TopicContents,
    incarnations: i32,
    checks: &mut Checks,
) -> anyhow::Result<Last> {
    let mut last = Last::default();
    Topic::open(&stack.kafka(), usize::MAX, topic::CATALOGUE)?.read(|message| {
        let Some(received) = envelope::read(message, incarnations) else { return };
        let event = received.event;
        let place = Place { partition: message.partition(), is_trimmed: false };
        said.message(event, place, checks);
        let decoded = proto::Event::decode(message.topic(), event.payload).ok().flatten();
        let content = decoded.map_or(0, |decoded| content::of(&decoded));
        let number = super::said::number_of_name(event.key);
        let known = last.entry(number).or_default();
        if known.0 < event.version {
            *known = (event.version, content);
        }
    })?;
    said.finish(checks);
    Ok(last)
}
