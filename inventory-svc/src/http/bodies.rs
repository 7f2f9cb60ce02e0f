//! The bodies of requests, field by field.

use std::borrow::Cow;

use chassis::{
    Code,
    body::{Amount, Fields},
};
use proto::{Currency, Money, MoneyError, Sku, WarehouseId};

use crate::{
    domain::{Wanted, stock::ON_HAND_MAX},
    world::Warehouse,
};

/// Characters of a text.
const TEXT_MAX: usize = 200;
/// Lines of a question, as of an order.
const ITEMS_MAX: usize = 100;
/// Pieces of a line, as of an order.
const QUANTITY: std::ops::RangeInclusive<i64> = 1..=10_000;
const PRIORITY: std::ops::RangeInclusive<i64> = 0..=1_000_000;

/// `{"name","price"}`
pub(super) fn product(fields: &mut Fields<'_>) -> Option<(String, Money)> {
    let name = fields.text("name", TEXT_MAX);
    let price = fields.amount("price").and_then(|amount| price(fields, &amount));
    Some((name?.to_owned(), price?))
}

fn price(fields: &Fields<'_>, amount: &Amount) -> Option<Money> {
    let refuse = |code, detail: &'static str| {
        fields.refuse("price", code, detail);
        None
    };
    let currency = match amount.currency.as_deref().map(Currency::parse) {
        None => Currency::USD,
        Some(Ok(currency)) => currency,
        Some(Err(_)) => return refuse(Code::UnknownCurrency, "is in no currency of ISO 4217"),
    };
    match Money::parse(&amount.text, currency) {
        Ok(price) if price.is_positive() => Some(price),
        Ok(_) => refuse(Code::AmountNotPositive, "has to be more than nothing"),
        Err(MoneyError::TooManyDecimals) => {
            refuse(Code::TooManyDecimals, "has more decimals than its currency")
        }
        Err(MoneyError::NotANumber) => refuse(Code::InvalidValue, "is not a number"),
        Err(MoneyError::Exponent) => refuse(Code::InvalidValue, "is written with an exponent"),
        Err(MoneyError::TooLarge) => refuse(Code::InvalidValue, "is more than 9,999,999.99"),
    }
}

/// `{"warehouse","delta","reason"}`
pub(super) fn adjustment(fields: &mut Fields<'_>) -> Option<(WarehouseId, i64, String)> {
    let warehouse = fields.parsed("warehouse", |text| {
        WarehouseId::parse(text).map_err(|error| invalid(error.to_string()))
    });
    let delta = fields.integer("delta", -ON_HAND_MAX..=ON_HAND_MAX);
    let reason = fields.optional_text("reason", TEXT_MAX).unwrap_or_default().to_owned();
    Some((warehouse?, delta?, reason))
}

/// `{"name","priority"}`
pub(super) fn warehouse(fields: &mut Fields<'_>) -> Option<Warehouse> {
    let name = fields.text("name", TEXT_MAX);
    let priority = fields.integer("priority", PRIORITY);
    Some(Warehouse { name: name?.to_owned(), priority: i32::try_from(priority?).ok()? })
}

/// `{"items":[{"sku","quantity"}]}`
pub(super) fn items(fields: &mut Fields<'_>) -> Option<Vec<Wanted>> {
    fields.list("items", ITEMS_MAX, |item| {
        let sku =
            item.parsed("sku", |text| Sku::parse(text).map_err(|error| invalid(error.to_string())));
        let quantity = item.integer("quantity", QUANTITY);
        Some(Wanted { sku: sku?, quantity: u32::try_from(quantity?).ok()? })
    })
}

fn invalid(detail: String) -> (Code, Cow<'static, str>) {
    (Code::InvalidValue, detail.into())
}
