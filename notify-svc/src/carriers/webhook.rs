//! SMS and push through a provider that takes them over a webhook, signed as Standard Webhooks 1.0
//! say: <https://www.standardwebhooks.com>.

use std::time::Duration;

use anyhow::{Context, ensure};
use chassis::clock;
use reqwest::{Client, Response, Url, header, redirect::Policy};
use serde::{Deserialize, Serialize};
use standardwebhooks::Webhook;

use crate::{
    carriers::{
        Carrier, CarrierError, OutgoingMessage, brief,
        guard::{AddressPolicy, GuardedResolver},
    },
    domain::Channel,
};

/// The longest pause that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// Bytes of an answer that are read: a name fits, and a provider's error page costs nothing.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where a provider listens.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    pub channel: Channel,
    pub url: Url,
    /// What requests are signed with: `whsec_` and base64.
    pub secret: String,
    pub addresses: AddressPolicy,
    /// How long a whole request may take.
    pub timeout: Duration,
}

/// Hands notifications of one channel to a provider; without an endpoint, all are refused.
pub struct WebhookCarrier(Option<Endpoint>);

struct Endpoint {
    client: Client,
    signature: Webhook,
    channel: Channel,
    url: Url,
    addresses: AddressPolicy,
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: String,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    to: &'a str,
    subject: &'a str,
    text: &'a str,
}

/// What a provider may answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WebhookAnswer {
    id: Option<String>,
}

impl WebhookCarrier {
    /// A carrier to this endpoint. Fails if its secret is not one of Standard Webhooks.
    pub fn new(endpoint: Option<WebhookEndpoint>) -> anyhow::Result<Self> {
        let Some(endpoint) = endpoint else { return Ok(Self(None)) };
        let WebhookEndpoint { channel, url, secret, addresses, timeout } = endpoint;
        ensure!(!secret.is_empty(), "the secret of {} is missing", channel.as_str());
        let signature = Webhook::new(&secret)
            .with_context(|| format!("the secret of {} is not whsec_…", channel.as_str()))?;
        let client = Client::builder()
            .timeout(timeout)
            // Where a redirection leads, nobody has checked; a proxy would resolve names itself.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(GuardedResolver(addresses))
            .build()
            .context("could not make the client of webhooks")?;
        Ok(Self(Some(Endpoint { client, signature, channel, url, addresses })))
    }
}

impl Carrier for WebhookCarrier {
    async fn carry(&self, message: OutgoingMessage<'_>) -> Result<Option<String>, CarrierError> {
        let Some(endpoint) = &self.0 else {
            return Err(CarrierError::Refused("this channel has no provider".to_owned()));
        };
        if !endpoint.addresses.allows_url(&endpoint.url) {
            return Err(CarrierError::later("the provider's address is not public"));
        }
        accepted(endpoint.post(message).await?).await
    }
}

impl Endpoint {
    async fn post(&self, message: OutgoingMessage<'_>) -> Result<Response, CarrierError> {
        let OutgoingMessage { id, to, text } = message;
        let (id, now) = (id.to_string(), clock::now());
        let payload = Payload {
            r#type: format!("notification.{}", self.channel.as_str()),
            timestamp: clock::rfc3339(now),
            data: Data { id: id.clone(), to, subject: &text.subject, text: &text.text },
        };
        let body = serde_json::to_vec(&payload).expect("texts are JSON");
        let seconds = now.unix_timestamp();
        let signature = self.signature.sign(&id, seconds, &body).expect("JSON is UTF-8");
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds.to_string())
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature)
            .body(body);
        request.send().await.map_err(unknown)
    }
}

async fn accepted(mut response: Response) -> Result<Option<String>, CarrierError> {
    let status = response.status();
    if !status.is_success() {
        let asked = response.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
        let after = asked.and_then(|it| it.parse().ok()).map(Duration::from_secs);
        return Err(verdict(status.as_u16(), after));
    }
    let mut body = Vec::new();
    // It was taken, whatever becomes of the rest of the answer.
    while let Ok(Some(more)) = response.chunk().await {
        body.extend_from_slice(&more);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    let taken: WebhookAnswer = serde_json::from_slice(&body).unwrap_or_default();
    Ok(taken.id.map(|id| brief(&id)).filter(|id| !id.is_empty()))
}

/// What a status without success means: a mistake of the request stays one, except for those that
/// a later request need not make (408, 425, 429).
fn verdict(status: u16, after: Option<Duration>) -> CarrierError {
    let why = format!("status {status}");
    match status {
        408 | 425 | 429 => CarrierError::Later { why, after: capped(after) },
        400..=499 => CarrierError::Refused(why),
        _ => CarrierError::Later { why, after: capped(after) },
    }
}

fn capped(after: Option<Duration>) -> Option<Duration> {
    after.map(|after| after.min(RETRY_AFTER_MAX))
}

/// An error of the client, without the URL: it may hold what must not be stored.
fn unknown(error: reqwest::Error) -> CarrierError {
    CarrierError::later(brief(&format!("{:#}", anyhow::Error::new(error.without_url()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_good_is_told_from_one_for_now() {
        let is_final = |status| matches!(verdict(status, None), CarrierError::Refused(_));
        for status in [400, 401, 404, 410, 422] {
            assert!(is_final(status), "{status}");
        }
        for status in [301, 408, 425, 429, 500, 502, 503] {
            assert!(!is_final(status), "{status}");
        }
    }
}
