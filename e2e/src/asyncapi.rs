//! The topics, described to machines in the form of `AsyncAPI` 3.1: from the registry of events, and
//! the comments of their schemas.

use std::{collections::BTreeSet, fs, path::Path};

use proto::{EVENT_TYPES, EventType, cloud_events, source, topic};
use serde_json::{Map, Value, json};

const ABOUT: &str = "What the services of the shop say to one another, for everybody who wants to \
    hear it. Deliveries may repeat; order within a key never breaks. Skip types that you do not \
    know. All of it: docs/contracts/kafka.md.";
/// How `AsyncAPI` names the form of the schemas.
const PROTOBUF: &str = "application/vnd.google.protobuf;version=3";

/// The description of every topic and every event.
pub(crate) fn document() -> Value {
    let channels: Map<_, _> =
        topic::ALL.into_iter().map(|it| (it.to_owned(), channel(it))).collect();
    let operations: Map<_, _> = topic::ALL
        .into_iter()
        .map(|it| (format!("publish {it}").replace([' ', '.'], "_"), operation(it)))
        .collect();
    let messages: Map<_, _> =
        EVENT_TYPES.iter().map(|it| (it.name.to_owned(), message(it))).collect();
    json!({
        "asyncapi": "3.1.0",
        "id": "urn:shop",
        "info": {"title": "Shop", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "defaultContentType": "application/protobuf",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": topic::ALL.map(|it| (root(it).to_owned(), schema(it))).into_iter().collect::<Map<_, _>>(),
            "messageTraits": {"cloudEvent": {"headers": headers()}},
        },
    })
}

fn channel(topic: &str) -> Value {
    let is_catalogue = topic == topic::CATALOGUE;
    let of = EVENT_TYPES.iter().filter(|it| it.topic == topic);
    let messages: Map<_, _> = of
        .map(|it| {
            let target = format!("#/components/messages/{}", it.name);
            (it.name.to_owned(), json!({"$ref": target}))
        })
        .collect();
    let cleanup = if is_catalogue { "compact" } else { "delete" };
    json!({
        "address": topic,
        "description": about(topic, root(topic)),
        "messages": messages,
        "bindings": {"kafka": {
            "topic": topic, "partitions": 12,
            "topicConfiguration": {"cleanup.policy": [cleanup]}, "bindingVersion": "0.5.0",
        }},
    })
}

fn operation(topic: &str) -> Value {
    json!({
        "action": "send",
        "channel": {"$ref": format!("#/channels/{topic}")},
        "summary": format!("Said by {}.", source(topic).expect("every topic has a source")),
    })
}

fn message(event: &EventType) -> Value {
    let key = if event.topic == topic::CATALOGUE {
        json!({"type": "string", "description": "The SKU."})
    } else {
        json!({"type": "string", "format": "uuid", "description": "The order's id."})
    };
    json!({
        "name": event.full_name(),
        "title": event.name,
        "summary": about(event.topic, event.name),
        "contentType": "application/protobuf",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": format!("#/components/schemas/{}", root(event.topic))},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    })
}

fn headers() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let sources: BTreeSet<_> = topic::ALL.into_iter().filter_map(source).collect();
    json!({
        "type": "object",
        "properties": {
            (cloud_events::SPECVERSION): {"type": "string", "const": "1.0"},
            (cloud_events::ID): {
                "type": "string", "format": "uuid",
                "description": "The event's id, a UUIDv7; the same in every copy of it.",
            },
            (cloud_events::SOURCE): {"type": "string", "enum": sources},
            (cloud_events::TYPE): {
                "type": "string",
                "enum": EVENT_TYPES.iter().map(EventType::full_name).collect::<Vec<_>>(),
            },
            (cloud_events::SUBJECT): text("The key."),
            (cloud_events::TIME): {
                "type": "string", "format": "date-time",
                "description": "When the event was written down.",
            },
            (cloud_events::VERSION): {
                "type": "string", "pattern": "^[1-9][0-9]*$",
                "description": "Counts, without a gap, what this source has said about this key.",
            },
            (cloud_events::INCARNATION): {
                "type": "string", "pattern": "^[1-9][0-9]*$",
                "description": "1, and one more for each restore of the source's database.",
            },
            "content-type": {"type": "string", "const": "application/protobuf"},
            (cloud_events::TRACEPARENT): text("The trace of what caused it (W3C); may be absent."),
        },
        "required": [
            cloud_events::SPECVERSION, cloud_events::ID, cloud_events::SOURCE, cloud_events::TYPE,
            cloud_events::SUBJECT, cloud_events::TIME, cloud_events::VERSION,
            cloud_events::INCARNATION, "content-type",
        ],
    })
}

/// The schema of a topic: what is published is its root.
fn schema(topic: &str) -> Value {
    json!({"schemaFormat": PROTOBUF, "schema": source_of(topic)})
}

/// The schema of a topic as it is written.
fn source_of(topic: &str) -> String {
    let folder = topic.split('.').nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/shop");
    fs::read_to_string(root.join(folder).join("v1/events.proto")).expect("a topic has its schema")
}

/// The one message of a topic: `OrderEvent`.
fn root(topic: &str) -> &'static str {
    match topic {
        topic::ORDERS => "OrderEvent",
        topic::PAYMENTS => "PaymentEvent",
        topic::STOCK => "StockEvent",
        topic::NOTIFICATIONS => "NotificationEvent",
        _ => "CatalogueEvent",
    }
}

/// What the schema says of a message, in the comment above it.
fn about(topic: &str, message: &str) -> String {
    let text = source_of(topic);
    let lines = text.lines().take_while(|line| *line != format!("message {message} {{"));
    let mut comment: Vec<_> = lines
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .map_while(|line| line.strip_prefix("// "))
        .collect();
    comment.reverse();
    comment.join(" ")
}
