//! Numbers and money in a body.

use std::{borrow::Cow, ops::RangeInclusive};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Code, Fields, Json, Kind, Place, TEXT_CHARS_MAX};

/// Money as it was written: the amount as text, never through a float.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The amount as it was written.
    pub text: String,
    /// Absent if the amount was a bare string or number.
    pub currency: Option<String>,
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?$";
        let (amount, number) = (
            json_schema!({"type": "string", "pattern": text}),
            json_schema!({"type": "number", "exclusiveMinimum": 0, "maximum": 9_999_999}),
        );
        let whole = json_schema!({
            "type": "object",
            "properties": {
                "amount": {"anyOf": [amount, number]},
                "currency": {"type": ["string", "null"], "pattern": "^[A-Z]{3}$"},
            },
            "required": ["amount"],
            "additionalProperties": false,
        });
        json_schema!({
            "description": "Money in a request: an amount with its currency, or a bare amount in \
                the currency of what it is for. A number is read from its text, never through a \
                float. No more decimals than the currency has, no exponent.",
            "anyOf": [whole, amount, number],
        })
    }
}

impl<'a> Fields<'a> {
    /// A required whole number within `range`.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.required(name, Kind::Integer(*range.start(), *range.end()))?;
        self.as_integer(name, value, &range)
    }

    /// A whole number that may be missing or null; a fault outside of the limits.
    pub fn optional_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.optional(name, Kind::Integer(*range.start(), *range.end()))?;
        self.as_integer(name, value, &range)
    }

    fn as_integer(&self, name: &str, json: &Json<'_>, range: &RangeInclusive<i64>) -> Option<i64> {
        let number = match json {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        };
        let fits: Option<i64> = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let (low, high) = (range.start(), range.end());
            let wrong = format!("has to be a whole number from {low} to {high}");
            self.refuse(name, Code::InvalidValue, wrong);
        }
        fits
    }

    /// A required amount of money: a string, a number, or an object of amount and currency.
    pub fn amount(&mut self, name: &'static str) -> Option<Amount> {
        let value = self.required(name, Kind::Amount)?;
        self.as_amount(name, value)
    }

    /// An amount of money that may be missing or null.
    pub fn optional_amount(&mut self, name: &'static str) -> Option<Amount> {
        let value = self.optional(name, Kind::Amount)?;
        self.as_amount(name, value)
    }

    fn as_amount(&self, name: &'static str, value: &'a Json<'a>) -> Option<Amount> {
        match value {
            Json::Number(text) => Some(Amount { text: (*text).to_owned(), currency: None }),
            Json::Text(text) if !text.contains('\0') && text.len() <= TEXT_CHARS_MAX => {
                Some(Amount { text: text.clone().into_owned(), currency: None })
            }
            Json::Object(members) => {
                let place = Place::Member(&self.place, name);
                Fields::read(members, place, self.reading, |money| {
                    let amount = match money.required("amount", Kind::Any)? {
                        Json::Number(text) => Some((*text).to_owned()),
                        text => {
                            money.as_text("amount", text, TEXT_CHARS_MAX).map(ToOwned::to_owned)
                        }
                    };
                    let currency =
                        money.optional_text("currency", TEXT_CHARS_MAX).map(ToOwned::to_owned);
                    Some(Amount { text: amount?, currency })
                })
            }
            _ => {
                self.refuse(name, Code::InvalidValue, "has to be an amount such as \"59.98\"");
                None
            }
        }
    }
}
