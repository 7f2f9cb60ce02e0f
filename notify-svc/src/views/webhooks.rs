//! How webhooks and their deliveries are written in JSON.

use std::borrow::Cow;

use proto::{EventType, WebhookId};
use reqwest::Url;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::DisabledReason,
    world::webhooks::{Webhook, WebhookAttempt, WebhookDelivery},
};

/// A webhook as it is told over HTTP. Its secret is told in the answer that made it, and never
/// again.
#[derive(Debug, Serialize)]
pub struct WebhookView<'a> {
    id: WebhookId,
    url: Cow<'a, str>,
    events: Vec<&'static str>,
    description: Option<&'a str>,
    status: &'static str,
    /// Why it was disabled, unless staff did it: `gone` or `failures`.
    disabled_reason: Option<&'static str>,
    secret: Option<&'a str>,
    #[serde(serialize_with = "chassis::clock::serialize")]
    created_at: OffsetDateTime,
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
            status: if settings.is_enabled { "enabled" } else { "disabled" },
            disabled_reason: webhook.disabled_reason.map(DisabledReason::as_str),
            secret: None,
            created_at: webhook.created_at,
        }
    }
}

/// Where a URL leads, without what may be secret in it.
fn masked(url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    format!("{}/***", origin.unwrap_or_default())
}

/// One event on its way to one webhook.
#[derive(Debug, Serialize)]
pub struct DeliveryView<'a> {
    /// A number as text, because JavaScript's numbers are too short.
    id: String,
    event_id: Uuid,
    r#type: &'static str,
    status: &'a str,
    attempts: &'a [WebhookAttempt],
    #[serde(serialize_with = "chassis::clock::serialize_option")]
    next_attempt_at: Option<OffsetDateTime>,
}

impl<'a> DeliveryView<'a> {
    /// The delivery as it is stored.
    pub fn new(delivery: &'a WebhookDelivery) -> Self {
        let WebhookDelivery { id, event_id, number, status, attempts, due_at } = delivery;
        Self {
            id: id.to_string(),
            event_id: *event_id,
            r#type: EventType::numbered(*number).map_or("unknown", |known| known.name),
            status,
            attempts,
            next_attempt_at: (status == "pending").then_some(*due_at),
        }
    }
}

/// How many events a replay tells again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReplayView {
    pub events: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_keeps_its_host_alone() {
        assert_eq!(masked("https://x.example:8443/hook?token=1"), "https://x.example:8443/***");
    }
}
