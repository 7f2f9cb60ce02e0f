//! Stripe's webhook: who signed an event, and what it says about a call of ours.
//!
//! An event brings nothing but an answer that a call still waits for. `charge.succeeded` says what
//! `payment_intent.succeeded` says, and which card it was. `charge.refunded` is not read: it does not
//! say which of several refunds it is about, and `refund.updated` does.

use std::{fmt, str::FromStr, sync::Arc};

use hmac_sha256::HMAC;
use proto::Money;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::{
    super::{ProviderError, brief},
    objects::{ChargeObject, Claim, Intent, RefundObject},
};
use crate::domain::{CallName, ChargeOutcome, Event};

/// How old an event may be, and how far ahead its clock: Stripe's own libraries allow as much. It
/// bounds how long somebody who has seen an event can repeat it.
const TOLERANCE_SECONDS: u64 = 300;
/// Signatures of one event that are looked at: Stripe sends one for each secret in force.
const SIGNATURES_MAX: usize = 16;

/// The secrets with which Stripe may sign: while one is replaced by another, both.
#[derive(Clone)]
pub struct WebhookSecrets(Arc<[String]>);

/// Why an event counts as nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("a Stripe-Signature has a time t and a signature v1")]
    Malformed,
    #[error("the signature is more than five minutes old, or ahead")]
    Stale,
    #[error("no signature fits the body")]
    Wrong,
}

/// What an event says about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeNotice {
    pub name: CallName,
    pub event: Event,
    units: i64,
    currency: String,
}

impl FromStr for WebhookSecrets {
    type Err = &'static str;

    /// Reads secrets with white space between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let secrets: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        let fit = |secret: &String| secret.len() > "whsec_".len() && secret.starts_with("whsec_");
        if secrets.is_empty() || !secrets.iter().all(fit) {
            return Err("write whsec_…, several with white space between them");
        }
        Ok(Self(secrets.into()))
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({})", self.0.len())
    }
}

impl WebhookSecrets {
    /// Whether Stripe signed `body` about `now`. `header` is its `Stripe-Signature`.
    pub fn verify(
        &self,
        header: &str,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), BadSignature> {
        let mut at = None;
        let mut signatures: Vec<[u8; 32]> = Vec::new();
        for (name, value) in header.split(',').filter_map(|item| item.trim().split_once('=')) {
            match name {
                "t" if at.is_some() => return Err(BadSignature::Malformed),
                "t" => at = Some(value),
                "v1" if signatures.len() < SIGNATURES_MAX => {
                    let mut signature = [0; 32];
                    // One that is no signature fits no body.
                    if hex::decode_to_slice(value, &mut signature).is_ok() {
                        signatures.push(signature);
                    }
                }
                // Other schemes are weaker ones: v0 is signed for tests.
                _ => {}
            }
        }
        let at = at.ok_or(BadSignature::Malformed)?;
        let seconds: i64 = at.parse().map_err(|_| BadSignature::Malformed)?;
        let signed = |secret: &String| {
            let mut hmac = HMAC::new(secret);
            hmac.update(at);
            hmac.update(".");
            hmac.update(body);
            // Compared in a time that does not tell how much of it fits.
            signatures.iter().any(|signature| hmac.clone().finalize_verify(signature))
        };
        if signatures.is_empty() {
            return Err(BadSignature::Malformed);
        }
        if !self.0.iter().any(signed) {
            return Err(BadSignature::Wrong);
        }
        let fresh = now.unix_timestamp().abs_diff(seconds) <= TOLERANCE_SECONDS;
        fresh.then_some(()).ok_or(BadSignature::Stale)
    }
}

#[derive(Deserialize)]
struct EventBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: EventData<'a>,
}

#[derive(Deserialize)]
struct EventData<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What an event says; `None` if it is not the answer to a call of ours.
pub fn read(body: &[u8]) -> Result<Option<StripeNotice>, serde_json::Error> {
    let event: EventBody<'_> = serde_json::from_slice(body)?;
    let object = event.data.object.get();
    Ok(match event.kind.as_str() {
        "payment_intent.succeeded"
        | "payment_intent.payment_failed"
        | "payment_intent.canceled" => {
            let intent: Intent = serde_json::from_str(object)?;
            charged(intent.claim(), intent.outcome())
        }
        "charge.succeeded" => {
            let charge: ChargeObject = serde_json::from_str(object)?;
            charged(charge.claim(), charge.outcome())
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            refunded(&serde_json::from_str(object)?)
        }
        _ => None,
    })
}

impl StripeNotice {
    /// Whether it is about the call of this name and amount.
    pub fn fits(&self, name: CallName, amount: Money) -> bool {
        let key = self.name.to_string();
        let claim = Claim { key: Some(&key), units: self.units, currency: &self.currency };
        claim.fits(&name.to_string(), amount)
    }

    fn of(claim: Claim<'_>, event: impl FnOnce(CallName) -> Option<Event>) -> Option<Self> {
        let name = CallName::parse(claim.key?)?;
        let (units, currency) = (claim.units, claim.currency.to_owned());
        Some(Self { name, event: event(name)?, units, currency })
    }
}

fn charged(claim: Claim<'_>, outcome: Option<ChargeOutcome>) -> Option<StripeNotice> {
    let outcome = outcome?;
    StripeNotice::of(claim, |name| match name {
        CallName::Charge { revision, .. } => Some(Event::ChargeAnswered { revision, outcome }),
        CallName::Refund { .. } => None,
    })
}

fn refunded(refund: &RefundObject) -> Option<StripeNotice> {
    let outcome = refund.outcome()?;
    StripeNotice::of(refund.claim(), |name| match (name, outcome) {
        (CallName::Refund { number, .. }, Ok(())) => Some(Event::RefundAnswered { number }),
        (CallName::Refund { number, .. }, Err(ProviderError::Refused(reason))) => {
            Some(Event::RefundRefused { number, reason: brief(&reason).into() })
        }
        (CallName::Refund { .. }, Err(ProviderError::Unknown(_)))
        | (CallName::Charge { .. }, _) => None,
    })
}

#[cfg(test)]
mod tests;
