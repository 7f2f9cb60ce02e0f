//! A payment service provider, behind one trait, and the simulator as one.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::domain::{Call, ChargeOutcome, DeclineCode, Face};

/// Nothing is known: not asked, not heard, not understood. It has to be asked again.
#[derive(Debug, thiserror::Error)]
#[error("the provider gave no answer: {0}")]
pub struct Unknown(pub String);

/// Who moves money outside. `key` names the operation: asked twice, it is done once and told twice.
pub trait Provider: Send + Sync + 'static {
    /// Takes money from a card.
    fn charge(
        &self,
        key: &str,
        call: &Call,
        token: &str,
    ) -> impl Future<Output = Result<ChargeOutcome, Unknown>> + Send;

    /// What became of a charge that was asked for before; `None` if it never got there.
    fn charge_of(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<ChargeOutcome>, Unknown>> + Send;

    /// Gives money of the charge `reference` back.
    fn refund(
        &self,
        key: &str,
        call: &Call,
        reference: &str,
    ) -> impl Future<Output = Result<(), Unknown>> + Send;
}

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

impl Simulator {
    /// `timeout` bounds a whole request: what is not answered by then is unknown.
    pub fn new(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(timeout)
            // It is on this machine or beside it: a proxy would only be in the way.
            .no_proxy()
            .build()
            .context("could not make the provider's client")?;
        Ok(Self { client, url: url.trim_end_matches('/').into() })
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, Unknown> {
        let sent = self.client.post(format!("{}{path}", self.url)).json(body).send().await;
        sent.map_err(unknown)
    }
}

impl Provider for Simulator {
    async fn charge(&self, key: &str, call: &Call, token: &str) -> Result<ChargeOutcome, Unknown> {
        let request = ChargeRequest {
            idempotency_key: key,
            order_id: call.order.to_string(),
            amount: call.amount.amount_text(),
            currency: call.amount.currency().code(),
            token,
        };
        let response = self.post("/charges", &request).await?;
        understood(accepted(response)?.json().await.map_err(unknown)?)
    }

    async fn charge_of(&self, key: &str) -> Result<Option<ChargeOutcome>, Unknown> {
        let asked = self.client.get(format!("{}/charges/{key}", self.url)).send().await;
        let response = asked.map_err(unknown)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        understood(accepted(response)?.json().await.map_err(unknown)?).map(Some)
    }

    async fn refund(&self, key: &str, call: &Call, reference: &str) -> Result<(), Unknown> {
        let request = RefundRequest {
            idempotency_key: key,
            charge: reference,
            amount: call.amount.amount_text(),
            currency: call.amount.currency().code(),
        };
        let response = self.post("/refunds", &request).await?;
        let answer: RefundAnswer = accepted(response)?.json().await.map_err(unknown)?;
        match answer.status.as_str() {
            "refunded" => Ok(()),
            other => Err(Unknown(format!("a refund that is {other}"))),
        }
    }
}

/// Whatever is no success says nothing about the money: a refusal here is a mistake of ours.
fn accepted(response: Response) -> Result<Response, Unknown> {
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(Unknown(format!("status {status}"))),
    }
}

fn understood(answer: ChargeAnswer) -> Result<ChargeOutcome, Unknown> {
    match (answer.status.as_str(), answer.code.as_deref()) {
        ("captured", _) => {
            let face =
                answer.card.map(|card| Face { brand: card.brand.into(), last4: card.last4.into() });
            Ok(ChargeOutcome::Captured { reference: answer.idempotency_key.into(), face })
        }
        ("declined", code) => Ok(ChargeOutcome::Declined {
            // A reason that has no name here is a decline nevertheless.
            code: code.and_then(DeclineCode::parse).unwrap_or(DeclineCode::CardDeclined),
            detail: answer.detail.unwrap_or_default().into(),
        }),
        (other, _) => Err(Unknown(format!("a charge that is {other}"))),
    }
}

/// The address may hold what must not be logged.
fn unknown(error: reqwest::Error) -> Unknown {
    Unknown(format!("{:#}", anyhow::Error::new(error.without_url())))
}
