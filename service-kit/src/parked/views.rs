//! Parked keys and messages, as operators see them.

use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::{Caller, clock::Timestamp};
use mailbox::{ParkedKey, ParkedMessage};
use proto::{Event, OrderId, Role};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// A parked key, as operators see it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ParkedKeyView {
    service: &'static str,
    topic: String,
    key: String,
    messages: i64,
    since: Timestamp,
    /// The kind of what is wrong.
    class: String,
    reason: String,
    /// The key, where it is an order's.
    order_id: Option<OrderId>,
}

impl ParkedKeyView {
    pub(super) fn new(service: &'static str, key: ParkedKey) -> Self {
        let ParkedKey { topic, key, messages, class, reason, since } = key;
        let (since, order_id) = (Timestamp::from(since), OrderId::parse(&key).ok());
        Self { service, topic, key, messages, since, class, reason, order_id }
    }
}

/// A parked message, as operators see it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ParkedMessageView<'a> {
    parked_id: i64,
    event_id: Option<Uuid>,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    source: Option<&'a str>,
    version: Option<i64>,
    partition: i32,
    offset: i64,
    /// Why it stopped its key; null for those that only wait behind it.
    reason: Option<&'a str>,
    parked_at: Timestamp,
    /// The event in the JSON form of its proto.
    pub(super) data: Value,
    /// Why `data` is null.
    not_decoded: Option<String>,
    /// The bytes of the message, in base64; null for who may only look.
    payload: Option<String>,
    pub(super) payload_bytes: i64,
    /// Whether only the beginning is shown here; the whole is at the message's own path.
    pub(super) truncated: bool,
}

/// A message as operators see it: decoded, unless only its beginning was fetched. Who may only look
/// is not shown what it says.
pub(super) fn view<'a>(
    topic: &str,
    message: &'a ParkedMessage,
    caller: &Caller,
) -> ParkedMessageView<'a> {
    let is_shown = caller.roles().contains(Role::Operator);
    let is_truncated = message.is_truncated();
    let (data, not_decoded) = match Event::decode(topic, &message.payload) {
        _ if !is_shown => (Value::Null, Some("payloads are shown to operators".to_owned())),
        _ if is_truncated => (Value::Null, Some("only its beginning is shown here".to_owned())),
        Ok(Some(event)) => (event.to_json(), None),
        Ok(None) => (Value::Null, Some("an event that this build does not know".to_owned())),
        Err(error) => (Value::Null, Some(error.to_string())),
    };
    ParkedMessageView {
        parked_id: message.parked_id,
        event_id: message.event_id,
        event_type: message.event_type.as_deref(),
        source: message.source.as_deref(),
        version: message.version,
        partition: message.partition,
        offset: message.offset,
        reason: message.reason.as_deref(),
        parked_at: message.parked_at.into(),
        data,
        not_decoded,
        payload: is_shown.then(|| BASE64_STANDARD.encode(&message.payload)),
        payload_bytes: message.payload_bytes,
        truncated: is_truncated,
    }
}

/// How many messages of a key were processed.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct ReleaseCount {
    pub(super) released: u64,
}

/// How many messages of a key were dropped.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct DiscardCount {
    pub(super) discarded: u64,
}

/// How many messages of a key were replaced.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct ReplaceCount {
    pub(super) replaced: u64,
}
