//! What a batch touches of webhooks, and the events that are kept for them.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::Tracked;
use proto::WebhookId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    carriers::signed::SigningSecret,
    domain::{DisabledReason, WebhookDeliveryStatus, WebhookSettings},
    input::KeptEvent,
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

/// One event on its way to one webhook, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookDelivery {
    pub id: i64,
    pub event_id: Uuid,
    /// The number of the event's type.
    pub number: i16,
    pub status: WebhookDeliveryStatus,
    pub attempts: Vec<WebhookAttempt>,
    pub due_at: OffsetDateTime,
}

/// An attempt that has ended, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How many webhooks there are, if the batch is to make one.
    pub known: usize,
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
