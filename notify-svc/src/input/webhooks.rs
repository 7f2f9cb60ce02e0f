//! Events as webhooks are told of them, and what staff ask about webhooks.

use axum::http::HeaderMap;
use mailbox::Trace;
use proto::WebhookId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{carriers::signed::SigningSecret, domain::WebhookSettings};

/// An event, as it is kept for webhooks: without sealed payment details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    pub id: Uuid,
    /// The number of its type.
    pub number: i16,
    /// The key of its message: the id of the order, or of the product.
    pub key: String,
    pub version: i64,
    pub trace: Option<Trace>,
    /// The topic's message.
    pub payload: Vec<u8>,
}

impl KeptEvent {
    /// Whether there is a partition for the event: it was said within a week. An older one comes
    /// out of a key that was parked for long, and nobody is told of it any more.
    pub fn is_in_range(&self, now: OffsetDateTime) -> bool {
        self.said_at().is_some_and(|at| (at - now).abs() < Duration::WEEK)
    }

    /// When the event was said, to the millisecond: its id tells. `None` for an id of another kind.
    pub fn said_at(&self) -> Option<OffsetDateTime> {
        mailbox::made_at(self.id)
    }
}

/// What staff ask about webhooks.
#[derive(Clone, Debug)]
pub enum WebhookRequest {
    Create {
        settings: WebhookSettings,
        secret: SigningSecret,
    },
    Replace {
        id: WebhookId,
        settings: WebhookSettings,
        /// The request's `If-Match` headers: the state that the caller wants to replace.
        conditions: HeaderMap,
    },
    Delete {
        id: WebhookId,
        conditions: HeaderMap,
    },
    RotateSecret {
        id: WebhookId,
        secret: SigningSecret,
    },
    /// Deliver this one again, whatever became of it.
    Resend {
        id: WebhookId,
        delivery: i64,
    },
    /// Deliver the events between two ids again, `events` in number.
    Replay {
        id: WebhookId,
        after: Uuid,
        before: Uuid,
        events: i64,
    },
}

impl WebhookRequest {
    /// The webhook that it is about, if there is one already.
    pub fn webhook(&self) -> Option<WebhookId> {
        match self {
            Self::Create { .. } => None,
            Self::Replace { id, .. }
            | Self::Delete { id, .. }
            | Self::RotateSecret { id, .. }
            | Self::Resend { id, .. }
            | Self::Replay { id, .. } => Some(*id),
        }
    }
}
