//! Stripe's objects and errors as JSON.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chassis::http::FinishedResponse;
use serde_json::{Value, json};

use super::{amounts::units_of, cards::TestMethod};
use crate::{
    book::{Charge, FormRequest, Refund},
    ledger::Unwritable,
};

/// An error in Stripe's form.
#[derive(Debug)]
pub(super) struct StripeError {
    status: StatusCode,
    error: Value,
}

impl IntoResponse for StripeError {
    fn into_response(self) -> Response {
        let mut response = chassis::http::json(self.status, &json!({ "error": self.error }));
        // The answer has Stripe's form, not that of a problem.
        response.extensions_mut().insert(FinishedResponse);
        response
    }
}

impl From<Unwritable> for StripeError {
    fn from(fault: Unwritable) -> Self {
        Self::of(500, "api_error", "", &fault.to_string())
    }
}

impl StripeError {
    fn of(status: u16, kind: &str, code: &str, message: &str) -> Self {
        let mut error = json!({"type": kind, "message": message});
        if !code.is_empty() {
            error["code"] = code.into();
        }
        Self { status: StatusCode::from_u16(status).unwrap_or_default(), error }
    }

    fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.error[member] = value.into();
        self
    }

    pub(super) fn invalid(param: &str, message: &str) -> Self {
        Self::of(400, "invalid_request_error", "parameter_invalid", message).with("param", param)
    }

    pub(super) fn parameter_missing(param: &str) -> Self {
        let message = format!("Missing required param: {param}.");
        Self::of(400, "invalid_request_error", "parameter_missing", &message).with("param", param)
    }

    pub(super) fn parameter_unknown(param: &str) -> Self {
        let message = format!("Received unknown parameter: {param}");
        Self::of(400, "invalid_request_error", "parameter_unknown", &message).with("param", param)
    }

    pub(super) fn no_method(token: &str) -> Self {
        let message = format!("No such PaymentMethod: '{token}'");
        let error = Self::of(400, "invalid_request_error", "resource_missing", &message);
        error.with("param", "payment_method")
    }

    pub(super) fn missing(what: &str, id: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self::of(404, "invalid_request_error", "resource_missing", &message).with("param", what)
    }

    pub(super) fn disputed() -> Self {
        let message = "The charge has been charged back; cannot issue a refund.";
        Self::of(400, "invalid_request_error", "charge_disputed", message)
    }

    pub(super) fn refunded_already() -> Self {
        let message = "The charge has already been refunded.";
        Self::of(400, "invalid_request_error", "charge_already_refunded", message)
    }

    pub(super) fn no_key() -> Self {
        Self::of(401, "invalid_request_error", "", "You did not provide an API key.")
    }

    pub(super) fn wrong_key() -> Self {
        Self::of(401, "invalid_request_error", "", "Invalid API Key provided")
    }

    pub(super) fn no_version() -> Self {
        Self::of(400, "invalid_request_error", "", "Invalid Stripe API version")
    }

    pub(super) fn key_reused() -> Self {
        let message = "Keys for idempotent requests can only be used with the same parameters they \
                       were first used with.";
        Self::of(400, "idempotency_error", "", message)
    }

    pub(super) fn key_in_use() -> Self {
        let message = "There is currently another in-progress request using this Idempotent Key.";
        Self::of(409, "idempotency_error", "idempotency_key_in_use", message)
    }

    /// What a declined charge is answered with.
    pub(super) fn decline(charge: &Charge) -> Option<Self> {
        charge.declined?;
        let error = Self { status: StatusCode::PAYMENT_REQUIRED, error: card_error(charge) };
        Some(error.with("payment_intent", intent_view(charge, false)))
    }
}

fn card_error(charge: &Charge) -> Value {
    let Some(error) = TestMethod::of(charge).and_then(TestMethod::error) else {
        return Value::Null;
    };
    json!({
        "type": "card_error",
        "code": error.code,
        "decline_code": error.decline_code,
        "message": error.message,
        "charge": charge_id(charge),
        "payment_method": {"id": charge.token, "object": "payment_method", "type": "card"},
    })
}

/// A payment intent; its charge is shown whole if `expanded`.
pub(super) fn intent_view(charge: &Charge, expanded: bool) -> Value {
    let is_taken = charge.declined.is_none();
    let amount = units(units_of(charge.money));
    json!({
        "id": charge.idempotency_key,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": if is_taken { amount.clone() } else { 0.into() },
        "currency": charge.money.currency().code().to_ascii_lowercase(),
        "created": charge.at.unix_timestamp(),
        "livemode": false,
        "metadata": metadata(charge.asked.as_ref()),
        "payment_method": is_taken.then_some(&charge.token),
        "payment_method_types": ["card"],
        "status": if is_taken { "succeeded" } else { "requires_payment_method" },
        "last_payment_error": if is_taken { Value::Null } else { card_error(charge) },
        "latest_charge": if expanded { charge_view(charge) } else { charge_id(charge).into() },
        "next_action": null,
    })
}

/// The charge of an intent.
pub(super) fn charge_view(charge: &Charge) -> Value {
    let card = TestMethod::of(charge).map(|method| {
        json!({"brand": method.brand, "last4": method.last4, "exp_month": 12, "exp_year": 2034})
    });
    let is_taken = charge.declined.is_none();
    let amount = units(units_of(charge.money));
    json!({
        "id": charge_id(charge),
        "object": "charge",
        "amount": amount,
        "amount_captured": if is_taken { amount.clone() } else { 0.into() },
        "captured": is_taken,
        "currency": charge.money.currency().code().to_ascii_lowercase(),
        "created": charge.at.unix_timestamp(),
        "metadata": metadata(charge.asked.as_ref()),
        "payment_intent": charge.idempotency_key,
        "payment_method_details": {"type": "card", "card": card},
        "status": if is_taken { "succeeded" } else { "failed" },
    })
}

pub(super) fn refund_view(refund: &Refund) -> Value {
    json!({
        "id": refund.idempotency_key,
        "object": "refund",
        "amount": units(units_of(refund.money)),
        "currency": refund.money.currency().code().to_ascii_lowercase(),
        "created": refund.at.unix_timestamp(),
        "metadata": metadata(refund.asked.as_ref()),
        "payment_intent": refund.charge,
        "status": "succeeded",
    })
}

fn charge_id(charge: &Charge) -> String {
    charge.idempotency_key.replacen("pi_", "ch_", 1)
}

fn metadata(asked: Option<&FormRequest>) -> Value {
    asked.map_or_else(|| json!({}), |asked| json!(asked.metadata()))
}

/// Minor units as a number; what does not fit was never taken.
fn units(units: i128) -> Value {
    i64::try_from(units).unwrap_or(i64::MAX).into()
}
