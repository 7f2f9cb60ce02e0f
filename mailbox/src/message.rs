//! A message of Kafka: an event in its envelope, and the form in which the database stores one.

use std::sync::Arc;

use proto::cloud_events;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A W3C trace context in 25 bytes: trace id (16), span id (8), flags (1).
pub type Trace = proto::trace_context::TraceContext;

/// An event in its envelope, the CloudEvents headers. A message without a usable envelope is
/// parked.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// The Kafka key: the id of what the event is about.
    pub key: Option<Vec<u8>>,
    /// `ce_id`.
    pub event_id: Uuid,
    /// `ce_type`, such as `shop.orders.v1.OrderPlaced`.
    pub event_type: String,
    /// `ce_source`, such as `/shop/order-svc`.
    pub source: String,
    /// `ce_version`: gapless from 1 within source and key.
    pub version: i64,
    pub trace: Option<Trace>,
    pub payload: Vec<u8>,
}

impl Message {
    /// Bytes of the payload and the key, which a foreign sender may make any size; the headers need
    /// no counting, because `envelope` bounds them.
    pub fn size(&self) -> usize {
        self.payload.len() + self.key.as_ref().map_or(0, Vec::len)
    }

    /// SHA-256 of key, envelope and payload. Tells this message from another one at the same
    /// offset: a topic that was deleted and made anew has another message there.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [
            self.key.as_deref().unwrap_or_default(),
            self.event_id.as_bytes(),
            self.event_type.as_bytes(),
            self.source.as_bytes(),
            &self.version.to_be_bytes(),
            &self.payload,
        ] {
            // Each part is preceded by its length, so that no byte can be taken for one of the next
            // part.
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// Why the message cannot be processed whatever its content is: without a type nobody can tell
    /// what it is, and without a version it has no place in its source's sequence, in which
    /// services record what they have received.
    pub(crate) fn lacks(&self) -> Option<Park> {
        let lacks = [
            (self.event_type.is_empty(), cloud_events::TYPE),
            (self.version <= 0, cloud_events::VERSION),
        ];
        Park::no_envelope(&lacks)
    }
}

/// A message as a row of `parked` or `unknown_events` holds it; what its envelope lacked is absent.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    pub(crate) id: i64,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) message_key: Option<Vec<u8>>,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) event_type: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) trace: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
}

impl StoredMessage {
    /// The message as it was received, or as an operator replaced it.
    pub(crate) fn into_message(self, topic: &str) -> Message {
        Message {
            topic: Arc::from(topic),
            partition: self.partition,
            offset: self.offset,
            key: self.message_key,
            event_id: self.event_id.unwrap_or(Uuid::nil()),
            event_type: self.event_type.unwrap_or_default(),
            source: self.source.unwrap_or_default(),
            version: self.version.unwrap_or(0),
            trace: self.trace.and_then(|trace| trace.try_into().ok()),
            payload: self.payload.unwrap_or_default(),
        }
    }
}

const UNDECODABLE: &str = "undecodable";
const NO_ENVELOPE: &str = "no_envelope";
pub(crate) const OUT_OF_RANGE: &str = "out_of_range";
pub(crate) const REFUSED_BY_DATABASE: &str = "refused_by_database";
pub(crate) const PANICKED: &str = "panicked";

/// Why a message cannot be processed, however often it is tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Park {
    /// Groups failures of one kind: `undecodable`, `no_envelope`, `out_of_range`,
    /// `refused_by_database`, …
    pub class: &'static str,
    /// An explanation for the operator.
    pub reason: String,
}

impl Park {
    /// The classes of the mailbox's own reasons; services have more.
    pub(crate) const CLASSES: [&str; 5] =
        [UNDECODABLE, NO_ENVELOPE, OUT_OF_RANGE, REFUSED_BY_DATABASE, PANICKED];

    /// A message whose payload is not of the type that its envelope names.
    pub fn undecodable(reason: impl Into<String>) -> Self {
        Self { class: UNDECODABLE, reason: reason.into() }
    }

    /// The reason to park a message with these headers missing or unusable; `None` if all are
    /// there.
    pub(crate) fn no_envelope(lacks: &[(bool, &str)]) -> Option<Self> {
        let names: Vec<&str> =
            lacks.iter().filter(|(lacks, _)| *lacks).map(|(_, name)| *name).collect();
        (!names.is_empty()).then(|| Self {
            class: NO_ENVELOPE,
            reason: format!("the message has no usable header {}", names.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_message_at_the_same_place_has_another_digest() {
        let message = crate::testing::message("t", "k", "t.Said", 1, b"ab".to_vec());
        let moved =
            Message { key: Some(b"ka".to_vec()), payload: b"b".to_vec(), ..message.clone() };
        let later = Message { version: 2, ..message.clone() };
        let renamed = Message { event_id: Uuid::nil(), ..message.clone() };
        assert_eq!(message.digest(), message.clone().digest());
        for other in [moved, later, renamed] {
            assert_ne!(message.digest(), other.digest());
        }
    }
}
