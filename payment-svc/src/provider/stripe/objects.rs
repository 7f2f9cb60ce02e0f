//! Stripe's objects, as far as they are read here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{ProviderError, ProviderResult, brief},
    amounts::minor_units,
};
use crate::domain::{Call, CardDisplay, ChargeOutcome, DeclineCode};

/// An error as Stripe tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorObject {
    #[serde(rename = "type")]
    pub(super) kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    pub(super) message: String,
}

/// A list, or what a search has found.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// A payment intent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    last_payment_error: Option<ErrorObject>,
    /// The charge's id, or the charge itself where it was asked for.
    latest_charge: Option<Value>,
}

/// A charge. It has the metadata of its intent, as that was made.
#[derive(Debug, Deserialize)]
pub(super) struct ChargeObject {
    status: String,
    payment_intent: Option<String>,
    amount: i64,
    #[serde(default)]
    amount_captured: i64,
    currency: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    payment_method_details: Option<Value>,
}

/// A refund.
#[derive(Debug, Deserialize)]
pub(super) struct RefundObject {
    pub(super) id: String,
    status: Option<String>,
    amount: i64,
    currency: String,
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// What an intent or a refund has to agree in with the call that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) units: i64,
    pub(super) currency: &'a str,
}

impl Claim<'_> {
    /// Whether it is about the call of this key and amount.
    pub(super) fn fits(&self, key: &str, amount: proto::Money) -> bool {
        self.key == Some(key)
            && minor_units(amount) == Some(self.units)
            && self.currency.eq_ignore_ascii_case(amount.currency().code())
    }

    /// An answer about something else is none: whoever looks after it has to see it.
    fn verify(&self, call: &Call) -> ProviderResult<()> {
        if self.fits(&call.key(), call.amount) {
            return Ok(());
        }
        let why = "its answer is about another charge, amount or currency";
        Err(ProviderError::Unknown(why.to_owned()))
    }
}

impl ErrorObject {
    /// Why a card is declined.
    pub(super) fn decline(&self) -> DeclineCode {
        let codes = [self.decline_code.as_deref(), self.code.as_deref()];
        for code in codes.into_iter().flatten() {
            match code {
                "insufficient_funds" => return DeclineCode::InsufficientFunds,
                "expired_card" => return DeclineCode::ExpiredCard,
                _ => {}
            }
        }
        // A decline whose code is not known here is a decline nevertheless.
        DeclineCode::CardDeclined
    }

    pub(super) fn detail(&self) -> String {
        brief(&self.message)
    }

    /// Whether no card has the token: it is declined like any that nobody gave out.
    pub(super) fn is_about_no_card(&self) -> bool {
        self.code.as_deref() == Some("resource_missing")
            && self.param.as_deref() == Some("payment_method")
    }
}

impl Intent {
    pub(super) fn claim(&self) -> Claim<'_> {
        let key = self.metadata.get("payment_key").map(String::as_str);
        Claim { key, units: self.amount, currency: &self.currency }
    }

    pub(super) fn verify(&self, call: &Call) -> ProviderResult<()> {
        self.claim().verify(call)?;
        if self.is_taken() && self.amount_received != self.amount {
            let why = "another amount was taken than was asked for";
            return Err(ProviderError::Unknown(why.to_owned()));
        }
        Ok(())
    }

    pub(super) fn is_taken(&self) -> bool {
        self.status == "succeeded"
    }

    pub(super) fn status(&self) -> String {
        brief(&self.status)
    }

    /// What the charge came to, once it is at its end.
    pub(super) fn outcome(&self) -> Option<ChargeOutcome> {
        match (self.status.as_str(), &self.last_payment_error) {
            ("succeeded", _) => Some(ChargeOutcome::Captured {
                reference: brief(&self.id).into(),
                face: self.face(),
            }),
            ("requires_payment_method" | "canceled", Some(error)) => {
                let (code, detail) = (error.decline(), error.detail().into());
                Some(ChargeOutcome::Declined { code, detail })
            }
            ("canceled", None) => {
                let detail = "the bank wants to ask the customer, who is not there".into();
                Some(ChargeOutcome::Declined { code: DeclineCode::CardDeclined, detail })
            }
            _ => None,
        }
    }

    /// Whether it waits for somebody to act, which nobody will.
    pub(super) fn is_waiting(&self) -> bool {
        match self.status.as_str() {
            "requires_payment_method" => self.last_payment_error.is_none(),
            "requires_action" | "requires_confirmation" | "requires_capture" => true,
            _ => false,
        }
    }

    fn face(&self) -> Option<CardDisplay> {
        face(self.latest_charge.as_ref()?.get("payment_method_details")?)
    }
}

/// The card among the details of a charge.
fn face(details: &Value) -> Option<CardDisplay> {
    let card = details.get("card")?;
    let text = |name: &str| card.get(name)?.as_str().map(|text| brief(text).into());
    Some(CardDisplay { brand: text("brand")?, last4: text("last4")? })
}

impl ChargeObject {
    pub(super) fn claim(&self) -> Claim<'_> {
        let key = self.metadata.get("payment_key").map(String::as_str);
        Claim { key, units: self.amount, currency: &self.currency }
    }

    /// What it came to, if it took the whole amount.
    pub(super) fn outcome(&self) -> Option<ChargeOutcome> {
        let is_taken = self.status == "succeeded" && self.amount_captured == self.amount;
        let intent = self.payment_intent.as_ref().filter(|_| is_taken)?;
        Some(ChargeOutcome::Captured {
            reference: brief(intent).into(),
            face: self.payment_method_details.as_ref().and_then(face),
        })
    }
}

impl RefundObject {
    pub(super) fn key(&self) -> Option<&str> {
        self.metadata.get("payment_key").map(String::as_str)
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim { key: self.key(), units: self.amount, currency: &self.currency }
    }

    pub(super) fn verify(&self, call: &Call) -> ProviderResult<()> {
        self.claim().verify(call)
    }

    /// Whether the money went back, once that is known: a pending refund is asked about again.
    pub(super) fn outcome(&self) -> Option<ProviderResult<()>> {
        match self.status.as_deref() {
            Some("succeeded") => Some(Ok(())),
            Some("failed" | "canceled") => {
                let why = self.failure_reason.as_deref().unwrap_or("the refund failed");
                Some(Err(ProviderError::Refused(brief(why))))
            }
            _ => None,
        }
    }

    /// The error of a refund that is not at its end.
    pub(super) fn open(&self) -> ProviderError {
        let status = self.status.as_deref().unwrap_or("open");
        ProviderError::Unknown(brief(&format!("the refund is {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(status: &str, error: &str) -> Intent {
        let text = format!(
            r#"{{"id":"pi_1","status":"{status}","amount":2000,"amount_received":2000,
            "currency":"usd","metadata":{{}},"last_payment_error":{error},
            "latest_charge":{{"amount":2000,"payment_method_details":
                {{"card":{{"brand":"visa","last4":"4242","exp_year":2030}}}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_intents_status_says_what_became_of_the_charge() {
        let expired = r#"{"type":"card_error","code":"expired_card","message":"It has expired."}"#;
        for (status, error, outcome, is_waiting) in [
            ("succeeded", "null", Some("captured"), false),
            ("requires_payment_method", expired, Some("expired_card"), false),
            ("canceled", "null", Some("card_declined"), false),
            ("requires_payment_method", "null", None, true),
            ("requires_action", "null", None, true),
            ("requires_confirmation", "null", None, true),
            ("processing", "null", None, false),
            ("some_day_new", "null", None, false),
        ] {
            let intent = intent(status, error);
            let told = intent.outcome().map(|outcome| match outcome {
                ChargeOutcome::Captured { face, .. } => {
                    assert_eq!(&*face.unwrap().last4, "4242");
                    "captured"
                }
                ChargeOutcome::Declined { code, .. } => code.as_str(),
            });
            assert_eq!((told, intent.is_waiting()), (outcome, is_waiting), "{status}");
        }
    }

    #[test]
    fn each_decline_code_has_its_own() {
        for (code, decline_code, wanted) in [
            ("card_declined", "generic_decline", DeclineCode::CardDeclined),
            ("card_declined", "insufficient_funds", DeclineCode::InsufficientFunds),
            ("expired_card", "expired_card", DeclineCode::ExpiredCard),
            ("expired_card", "", DeclineCode::ExpiredCard),
            ("authentication_required", "authentication_required", DeclineCode::CardDeclined),
            ("processing_error", "", DeclineCode::CardDeclined),
        ] {
            let (code, decline_code) = (Some(code.to_owned()), Some(decline_code.to_owned()));
            let error = ErrorObject { code, decline_code, ..ErrorObject::default() };
            assert_eq!(error.decline(), wanted);
        }
    }
}
