//! How webhooks and their deliveries are written in JSON.

use std::borrow::Cow;

use chassis::clock::Timestamp;
use proto::{EventType, WebhookId};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{DisabledReason, EventFilter, WebhookDeliveryStatus, WebhookStatus},
    world::webhooks::{Webhook, WebhookAttempt, WebhookDelivery},
};

/// A webhook as it is told over HTTP. Its secret is told in the answer that made it, and never
/// again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookView<'a> {
    id: WebhookId,
    url: Cow<'a, str>,
    #[schemars(with = "Vec<EventName>")]
    events: Vec<&'static str>,
    description: Option<&'a str>,
    status: WebhookStatus,
    /// Why it was disabled, unless staff did it.
    disabled_reason: Option<DisabledReason>,
    secret: Option<&'a str>,
    created_at: Timestamp,
}

impl<'a> WebhookView<'a> {
    /// A webhook without its secret; its address is masked for those who only look, because it may
    /// hold a token.
    pub fn new(id: WebhookId, webhook: &'a Webhook, is_whole: bool) -> Self {
        let settings = &webhook.settings;
        Self {
            id,
            url: if is_whole {
                Cow::Borrowed(&*settings.url)
            } else {
                masked(&settings.url).into()
            },
            events: settings.events.names(),
            description: settings.description.as_deref(),
            status: settings.status,
            disabled_reason: webhook.disabled_reason,
            secret: None,
            created_at: webhook.created_at.into(),
        }
    }
}

/// Where a URL leads, without what may be secret in it.
fn masked(url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    format!("{}/***", origin.unwrap_or_default())
}

/// One event on its way to one webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryView<'a> {
    /// A number as text, because JavaScript's numbers are too short.
    id: String,
    event_id: Uuid,
    r#type: &'static str,
    status: WebhookDeliveryStatus,
    attempts: &'a [WebhookAttempt],
    next_attempt_at: Option<Timestamp>,
}

impl<'a> DeliveryView<'a> {
    /// The delivery as it is stored.
    pub fn new(delivery: &'a WebhookDelivery) -> Self {
        let WebhookDelivery { id, event_id, number, status, attempts, due_at } = delivery;
        Self {
            id: id.to_string(),
            event_id: *event_id,
            r#type: EventType::numbered(*number).map_or("unknown", |known| known.name),
            status: *status,
            attempts,
            next_attempt_at: (*status == WebhookDeliveryStatus::Pending).then(|| (*due_at).into()),
        }
    }
}

/// How many events a replay tells again.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct ReplayView {
    pub events: i64,
}

/// An event that webhooks are told of, or `*` for all of them.
pub struct EventName;

chassis::inline_schema! { EventName => {"type": "string", "enum": EventFilter::known()} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_keeps_its_host_alone() {
        assert_eq!(masked("https://x.example:8443/hook?token=1"), "https://x.example:8443/***");
    }
}
