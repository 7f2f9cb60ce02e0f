//! What a batch touches of webhooks, and the events that are kept for them.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{Trace, Tracked};
use proto::{OrderId, WebhookId};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    carriers::signed::SigningSecret,
    domain::{DisabledReason, WebhookSettings},
};

/// A webhook, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub settings: WebhookSettings,
    pub disabled_reason: Option<DisabledReason>,
    /// Since when it has been as it is: failures from before then do not disable it.
    pub enabled_at: OffsetDateTime,
    pub secret: SigningSecret,
    /// The secret before, and until when it signs, too.
    pub old_secret: Option<(SigningSecret, OffsetDateTime)>,
    pub created_at: OffsetDateTime,
}

/// An event about an order, as it is kept for webhooks: without sealed payment details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    pub id: Uuid,
    /// The number of its type.
    pub number: i16,
    pub order: OrderId,
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
        let timestamp = self.id.get_timestamp().filter(|_| self.id.get_version_num() == 7)?;
        let (seconds, nanos) = timestamp.to_unix();
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
    }
}

/// One event on its way to one webhook, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookDelivery {
    pub id: i64,
    pub event_id: Uuid,
    /// The number of the event's type.
    pub number: i16,
    pub status: String,
    pub attempts: Vec<WebhookAttempt>,
    pub due_at: OffsetDateTime,
}

/// An attempt that has ended, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAttempt {
    pub at: String,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// Events that are to be told to a webhook once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventReplay {
    pub webhook: WebhookId,
    /// The ids between which the events lie, without these.
    pub after: Uuid,
    pub before: Uuid,
}

/// The webhooks of one batch.
#[derive(Debug, Default)]
pub struct WebhookWorld {
    pub rows: BTreeMap<WebhookId, Tracked<Webhook>>,
    /// Those whose rows another session holds.
    pub held: BTreeSet<WebhookId>,
    pub deleted: BTreeSet<WebhookId>,
    /// Deliveries that a request asks to resend.
    pub deliveries: BTreeMap<(WebhookId, i64), WebhookDelivery>,
    pub resent: BTreeSet<i64>,
    pub replays: Vec<EventReplay>,
    /// Events to keep.
    pub events: Vec<KeptEvent>,
}

impl WebhookWorld {
    /// Whether deliveries may have come of this batch.
    pub fn has_work(&self) -> bool {
        !(self.events.is_empty()
            && self.resent.is_empty()
            && self.replays.is_empty()
            && self.rows.is_empty())
    }
}
