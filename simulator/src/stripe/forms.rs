//! Requests as Stripe reads them: form-encoded parameters, and amounts in minor units.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use proto::{Currency, Money};
use rust_decimal::Decimal;

use super::{amounts::digits, objects::StripeError};

/// What an amount may have: 99999999 at most.
const UNITS_DIGITS_MAX: usize = 8;

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(pub(super) BTreeMap<String, String>);

/// Reads a body, which has to be a form.
pub(super) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, StripeError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if kind.trim() != "application/x-www-form-urlencoded" {
        let message = "the body has to be application/x-www-form-urlencoded";
        return Err(StripeError::invalid("", message));
    }
    Ok(read(body))
}

/// Reads the parameters behind a path.
pub(super) fn query(text: Option<&str>) -> Params {
    read(text.unwrap_or_default().as_bytes())
}

fn read(text: &[u8]) -> Params {
    Params(form_urlencoded::parse(text).into_owned().collect())
}

impl Params {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &str) -> Result<String, StripeError> {
        let value = self.get(name).filter(|value| !value.is_empty());
        value.map(ToOwned::to_owned).ok_or_else(|| StripeError::parameter_missing(name))
    }

    pub(super) fn metadata(&self, name: &str) -> Option<&str> {
        self.get(&format!("metadata[{name}]"))
    }

    /// Refuses parameters that are neither `known` nor metadata.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), StripeError> {
        let unknown = self.0.keys().find(|name| {
            let is_metadata = name.starts_with("metadata[") && name.ends_with(']');
            !known.contains(&name.as_str()) && !is_metadata
        });
        unknown.map_or(Ok(()), |name| Err(StripeError::parameter_unknown(name)))
    }

    /// The currency, which is written in lower case.
    pub(super) fn currency(&self) -> Result<Currency, StripeError> {
        let code = self.required("currency")?;
        let wrong = || StripeError::invalid("currency", "is no currency in lower case");
        let is_lower = code.bytes().all(|byte| byte.is_ascii_lowercase());
        let known = Currency::parse(&code.to_ascii_uppercase()).ok().filter(|_| is_lower);
        known.ok_or_else(wrong)
    }
}

/// The money of an amount in minor units.
pub(super) fn units(text: &str, currency: Currency) -> Result<Money, StripeError> {
    let wrong = || StripeError::invalid("amount", "has to be a positive integer of minor units");
    let is_number = (1..=UNITS_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    let units: i64 = text.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    let digits = digits(currency);
    if digits == 3 && units % 10 != 0 {
        return Err(StripeError::invalid("amount", "has to be a multiple of ten"));
    }
    let money = Money::new(Decimal::new(units, digits), currency).map_err(|_| wrong())?;
    money.is_positive().then_some(money).ok_or_else(wrong)
}
