//! The simulator as a provider, over HTTP.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Provider, ProviderError, ProviderResult, brief, unknown};
use crate::domain::{Call, CardDisplay, ChargeOutcome, DeclineCode};

/// The simulator, over HTTP.
#[derive(Clone, Debug)]
pub struct Simulator {
    client: Client,
    url: Arc<str>,
}

#[derive(Serialize)]
struct ChargeRequest<'a> {
    idempotency_key: &'a str,
    order_id: String,
    amount: String,
    currency: &'static str,
    token: &'a str,
}

#[derive(Serialize)]
struct RefundRequest<'a> {
    idempotency_key: &'a str,
    charge: &'a str,
    amount: String,
    currency: &'static str,
}

#[derive(Deserialize)]
struct ChargeAnswer {
    idempotency_key: String,
    status: String,
    code: Option<String>,
    detail: Option<String>,
    card: Option<CardAnswer>,
}

#[derive(Deserialize)]
struct CardAnswer {
    brand: String,
    last4: String,
}

#[derive(Deserialize)]
struct RefundAnswer {
    status: String,
}

/// The provider's answer when it does not do what it is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemAnswer {
    code: String,
    detail: String,
}

/// The 409 that asking again does not solve: more is asked back than was captured, or this charge is
/// never given back.
const FOR_GOOD: [&str; 2] = ["not_refundable", "refund_refused"];

impl Simulator {
    /// `timeout` bounds a whole request: an answer that has not come by then is unknown.
    pub fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(timeout)
            // The simulator is on this machine or beside it, so a proxy would only be in the way.
            .no_proxy()
            .build()
            .context("could not make the provider's client")?;
        Ok(Self { client, url: url.trim_end_matches('/').into() })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> ProviderResult<T> {
        let sent = self.client.post(format!("{}{path}", self.url)).json(body).send().await;
        accepted(sent.map_err(unknown)?).await?.json().await.map_err(unknown)
    }

    /// Reads what the provider has at `path`; `None` if it has nothing. An error of this look-up
    /// says nothing about the money, so it is never a refusal.
    async fn look<T: DeserializeOwned>(&self, path: &str) -> ProviderResult<Option<T>> {
        let asked = self.client.get(format!("{}{path}", self.url)).send().await.map_err(unknown)?;
        match asked.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => asked.json().await.map(Some).map_err(unknown),
            status => Err(ProviderError::Unknown(format!("status {status}"))),
        }
    }
}

impl Provider for Simulator {
    async fn charge(&self, key: &str, call: &Call, token: &str) -> ProviderResult<ChargeOutcome> {
        let request = ChargeRequest {
            idempotency_key: key,
            order_id: call.order.to_string(),
            amount: call.amount.amount_text(),
            currency: call.amount.currency().code(),
            token,
        };
        charged(self.post("/charges", &request).await?)
    }

    /// The simulator never forgets a key, so the age of a call makes no difference.
    async fn charge_of(
        &self,
        key: &str,
        _: &Call,
        _: Duration,
    ) -> ProviderResult<Option<ChargeOutcome>> {
        self.look(&format!("/charges/{key}")).await?.map(charged).transpose()
    }

    async fn refund(&self, key: &str, call: &Call, reference: &str) -> ProviderResult<()> {
        let request = RefundRequest {
            idempotency_key: key,
            charge: reference,
            amount: call.amount.amount_text(),
            currency: call.amount.currency().code(),
        };
        refunded(&self.post("/refunds", &request).await?)
    }

    async fn refund_of(&self, key: &str, _: &Call, _: &str) -> ProviderResult<bool> {
        let known: Option<RefundAnswer> = self.look(&format!("/refunds/{key}")).await?;
        known.as_ref().map(refunded).transpose().map(|known| known.is_some())
    }
}

async fn accepted(response: Response) -> ProviderResult<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let said: ProblemAnswer = if status.is_client_error() {
        response.json().await.unwrap_or_default()
    } else {
        ProblemAnswer::default()
    };
    Err(verdict(status, &said))
}

/// What an answer without success means. Most mistakes of a request stay mistakes, so those answers
/// are refusals. Some say nothing about the money: the provider does not know who we are (401,
/// 403), the same request may succeed later (408, 409, 425, 429), or the provider has failed (500
/// and above).
fn verdict(status: StatusCode, said: &ProblemAnswer) -> ProviderError {
    let why = brief(&format!("status {} {}", status.as_u16(), said.detail));
    match status.as_u16() {
        409 if FOR_GOOD.contains(&said.code.as_str()) => ProviderError::Refused(why),
        401 | 403 | 408 | 409 | 425 | 429 => ProviderError::Unknown(why),
        // Without a code of its own it is somebody else's answer: a proxy's, or another server's.
        400..=499 if !said.code.is_empty() => ProviderError::Refused(why),
        _ => ProviderError::Unknown(why),
    }
}

fn charged(answer: ChargeAnswer) -> ProviderResult<ChargeOutcome> {
    match (answer.status.as_str(), answer.code.as_deref()) {
        ("captured", _) => {
            let face = answer.card.map(|card| CardDisplay {
                brand: brief(&card.brand).into(),
                last4: brief(&card.last4).into(),
            });
            Ok(ChargeOutcome::Captured { reference: answer.idempotency_key.into(), face })
        }
        ("declined", code) => Ok(ChargeOutcome::Declined {
            // A decline whose code is not known here is a decline nevertheless.
            code: code.and_then(DeclineCode::parse).unwrap_or(DeclineCode::CardDeclined),
            detail: brief(&answer.detail.unwrap_or_default()).into(),
        }),
        (other, _) => Err(ProviderError::Unknown(brief(&format!("a charge that is {other}")))),
    }
}

fn refunded(answer: &RefundAnswer) -> ProviderResult<()> {
    match answer.status.as_str() {
        "refunded" => Ok(()),
        other => Err(ProviderError::Unknown(brief(&format!("a refund that is {other}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_good_is_told_from_an_answer_that_may_change() {
        let refuses = |status: u16, code: &str| {
            let said = ProblemAnswer { code: code.to_owned(), detail: String::new() };
            let status = StatusCode::from_u16(status).unwrap();
            matches!(verdict(status, &said), ProviderError::Refused(_))
        };
        for status in [400, 402, 404, 410, 413, 422] {
            assert!(refuses(status, "invalid_value"), "{status}");
            assert!(!refuses(status, ""), "{status} of a proxy");
        }
        for status in [301, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504] {
            assert!(!refuses(status, "invalid_value"), "{status}");
        }
        assert!(refuses(409, "not_refundable") && refuses(409, "refund_refused"));
    }
}
