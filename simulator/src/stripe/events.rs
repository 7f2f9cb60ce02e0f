//! Events on their way to the account's webhook, signed as Stripe signs them.

use std::time::Duration;

use anyhow::Context;
use chassis::clock;
use hmac_sha256::HMAC;
use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

/// Stripe tries for three days; who tries something on does not wait so long.
const ATTEMPTS_MAX: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(10);

/// An event of the account.
#[derive(Clone, Debug)]
pub(super) struct StripeEvent {
    id: String,
    body: String,
}

/// An event about an object.
pub(super) fn event(kind: &str, object: &Value, at: OffsetDateTime) -> StripeEvent {
    let id = format!("evt_{}", clock::new_id().simple());
    let body = json!({
        "id": id,
        "object": "event",
        "api_version": "2025-03-31.basil",
        "created": at.unix_timestamp(),
        "livemode": false,
        "type": kind,
        "data": {"object": object},
    });
    StripeEvent { body: body.to_string(), id }
}

/// Sends events to the webhook, one after the other.
pub struct WebhookSender {
    events: mpsc::Receiver<StripeEvent>,
    client: Client,
    url: String,
    secret: String,
}

impl WebhookSender {
    pub(super) fn new(
        events: mpsc::Receiver<StripeEvent>,
        url: &str,
        secret: &str,
    ) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(TIMEOUT).no_proxy().build();
        let client = client.context("could not make the webhook's client")?;
        Ok(Self { events, client, url: url.to_owned(), secret: secret.to_owned() })
    }

    /// Sends until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let sent = async {
                // The sender outlives its account only while the process stops.
                let Some(event) = self.events.recv().await else { return stop.cancelled().await };
                deliver(&self.client, (&self.url, &self.secret), &event).await;
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sent => {}
            }
        }
    }
}

async fn deliver(client: &Client, (url, secret): (&str, &str), event: &StripeEvent) {
    for attempt in 0..ATTEMPTS_MAX {
        let at = clock::now().unix_timestamp();
        let signature = hex::encode(HMAC::mac(format!("{at}.{}", event.body), secret));
        let request = client.post(url).header(CONTENT_TYPE, "application/json; charset=utf-8");
        let request = request.header("stripe-signature", format!("t={at},v1={signature}"));
        match request.body(event.body.clone()).send().await {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(event_id = event.id, status, "the webhook refuses an event");
            }
            Err(error) => {
                let error = error.without_url();
                let error = &error as &dyn std::error::Error;
                tracing::debug!(event_id = event.id, error, "the webhook is away");
            }
        }
        sleep(PAUSE_FIRST * 2_u32.pow(attempt)).await;
    }
    tracing::error!(event_id = event.id, "the webhook never took an event");
}
