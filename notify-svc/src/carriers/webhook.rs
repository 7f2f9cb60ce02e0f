//! SMS and push through a provider that takes them over a webhook, signed as Standard Webhooks 1.0
//! say: <https://www.standardwebhooks.com>.

use std::time::Duration;

use anyhow::Context;
use chassis::clock;
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};

use crate::{
    carriers::{
        Carrier, CarrierError, OutgoingMessage, brief,
        guard::AddressPolicy,
        signed::{SignedRequest, SigningClient, SigningSecret, beginning, retry_after},
    },
    domain::Channel,
};

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
    client: SigningClient,
    channel: Channel,
    url: Url,
    secrets: [SigningSecret; 1],
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
        let secret = (!secret.is_empty()).then_some(secret).context("it is empty");
        let secret = secret
            .and_then(SigningSecret::parse)
            .with_context(|| format!("the secret of {} is not whsec_…", channel.as_str()))?;
        let client = SigningClient::new(addresses, timeout)?;
        Ok(Self(Some(Endpoint { client, channel, url, secrets: [secret] })))
    }
}

impl Carrier for WebhookCarrier {
    async fn carry(&self, message: OutgoingMessage<'_>) -> Result<Option<String>, CarrierError> {
        let Some(endpoint) = &self.0 else {
            return Err(CarrierError::Refused("this channel has no provider".to_owned()));
        };
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
        let request = SignedRequest {
            url: &self.url,
            id: &id,
            media_type: "application/json",
            body: &body,
            secrets: &self.secrets,
        };
        self.client.post(request).await
    }
}

async fn accepted(response: Response) -> Result<Option<String>, CarrierError> {
    let status = response.status();
    if !status.is_success() {
        return Err(verdict(status.as_u16(), retry_after(&response)));
    }
    // It was taken, whatever becomes of the rest of the answer.
    let taken: WebhookAnswer =
        serde_json::from_slice(&beginning(response).await).unwrap_or_default();
    Ok(taken.id.map(|id| brief(&id)).filter(|id| !id.is_empty()))
}

/// What a status without success means: a mistake of the request stays one, except for those that
/// a later request need not make (408, 425, 429).
fn verdict(status: u16, after: Option<Duration>) -> CarrierError {
    let why = format!("status {status}");
    match status {
        408 | 425 | 429 => CarrierError::Later { why, after },
        400..=499 => CarrierError::Refused(why),
        _ => CarrierError::Later { why, after },
    }
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
