//! Request bodies: what may be in them, and what is wrong with what is.

use std::{collections::BTreeSet, sync::Arc};

use chassis::{
    Code,
    body::{Amount, Fields},
};
use proto::{Currency, CustomerId, Money, MoneyError, OrderId, Sku};

use crate::domain::{Method, Request, Wanted, card_number};

const LINES_MAX: usize = 100;
const QUANTITY_MAX: i64 = 10_000;
const NOTE_CHARS_MAX: usize = 500;
const TEXT_CHARS_MAX: usize = 200;

/// An order as it is asked for, and the card's token if it brings one.
pub(super) struct Body {
    pub(super) request: Request,
    pub(super) token: Option<String>,
}

/// Reads an order that will have this id.
pub(super) fn order(fields: &mut Fields<'_>, id: OrderId) -> Option<Body> {
    let customer = fields.parsed("customer_id", |text| {
        CustomerId::parse(text).map_err(|wrong| (Code::InvalidValue, wrong.to_string().into()))
    });
    let currency = fields.optional_parsed("currency", |text| {
        Currency::parse(text).map_err(|wrong| (Code::UnknownCurrency, wrong.to_string().into()))
    });
    // An unknown currency has been noted; the rest is looked at nevertheless.
    let currency = currency.unwrap_or(Currency::USD);
    let note = free_text(fields, "note", NOTE_CHARS_MAX);
    let mut skus = BTreeSet::new();
    let lines = fields.list("items", LINES_MAX, |item| {
        let wanted = line(item, currency)?;
        if let Wanted::Product { sku, .. } = &wanted
            && !skus.insert(sku.clone())
        {
            let name = if item.has("sku") { "sku" } else { "product_id" };
            item.refuse(name, Code::DuplicateLine, "is in the order twice");
            return None;
        }
        Some(wanted)
    });
    let payment = if fields.has("payment") {
        fields.object("payment", payment)
    } else {
        fields.json("payment");
        Some((Method::Deferred, None))
    };
    let (method, token) = payment?;
    let (customer, lines, note) = (customer?, lines?, note?);
    Some(Body { request: Request { id, customer, currency, lines, method, note }, token })
}

fn line(item: &mut Fields<'_>, currency: Currency) -> Option<Wanted> {
    let quantity = item.integer("quantity", 1..=QUANTITY_MAX);
    let names: Vec<_> =
        ["sku", "product_id", "description"].into_iter().filter(|name| item.has(name)).collect();
    let [name] = names[..] else {
        for name in ["sku", "product_id", "description"] {
            item.json(name);
        }
        match names.first() {
            None => item.refuse("sku", Code::MissingField, "is missing"),
            Some(name) => item.refuse(name, Code::InvalidValue, "is one name too many"),
        }
        price(item, currency).ok();
        return None;
    };
    if name == "description" {
        let description = free_text(item, name, TEXT_CHARS_MAX);
        if !item.has("unit_price") {
            item.refuse("unit_price", Code::MissingField, "is missing");
        }
        let unit_price = price(item, currency).ok()?;
        let (description, quantity) = (description?, u32::try_from(quantity?).ok()?);
        if description.is_empty() {
            item.refuse(name, Code::InvalidValue, "must not be empty");
            return None;
        }
        return Some(Wanted::Extra { description, quantity, unit_price: unit_price? });
    }
    let sku = item.parsed(name, |text| {
        Sku::parse(text).map_err(|wrong| (Code::InvalidValue, wrong.to_string().into()))
    });
    let seen = price(item, currency).ok()?;
    Some(Wanted::Product { sku: sku?, quantity: u32::try_from(quantity?).ok()?, seen })
}

/// A fault has been noted.
struct Noted;

/// A line's price, if it has one.
fn price(item: &mut Fields<'_>, currency: Currency) -> Result<Option<Money>, Noted> {
    let given = item.has("unit_price");
    match item.optional_amount("unit_price") {
        Some(amount) => money(item, "unit_price", &amount, currency).map(Some).ok_or(Noted),
        None if given => Err(Noted),
        None => Ok(None),
    }
}

/// A positive amount in `currency`.
fn money(fields: &Fields<'_>, name: &str, amount: &Amount, currency: Currency) -> Option<Money> {
    if amount.currency.as_deref().is_some_and(|named| named != currency.code()) {
        fields.refuse(name, Code::InvalidValue, format!("has to be in {currency}"));
        return None;
    }
    match Money::parse(&amount.text, currency) {
        Ok(money) if money.is_positive() => return Some(money),
        Ok(_) => fields.refuse(name, Code::AmountNotPositive, "has to be more than 0"),
        Err(wrong) => {
            let code = match wrong {
                MoneyError::TooManyDecimals => Code::TooManyDecimals,
                MoneyError::NotANumber | MoneyError::Exponent | MoneyError::TooLarge => {
                    Code::InvalidValue
                }
            };
            fields.refuse(name, code, wrong.to_string());
        }
    }
    None
}

fn payment(fields: &mut Fields<'_>) -> Option<(Method, Option<String>)> {
    let method = if fields.has("method") {
        fields.parsed("method", |word| {
            let wrong = "is not wallet, card or deferred";
            Method::parse(word).ok_or((Code::UnknownPaymentMethod, wrong.into()))
        })
    } else {
        fields.json("method");
        Some(Method::Deferred)
    };
    let Some(method) = method else {
        fields.json("token");
        return None;
    };
    let token = match (method, fields.has("token")) {
        (Method::Card, _) => {
            let token = fields.text("token", TEXT_CHARS_MAX)?;
            Some(without_card_number(fields, "token", token)?.to_owned())
        }
        (Method::Wallet | Method::Deferred, true) => {
            fields.json("token");
            fields.refuse("token", Code::InvalidValue, "is for cards only");
            return None;
        }
        (Method::Wallet | Method::Deferred, false) => {
            fields.json("token");
            None
        }
    };
    Some((method, token))
}

/// Why an order is cancelled, in the caller's words.
pub(super) fn reason(fields: &mut Fields<'_>) -> Option<Arc<str>> {
    free_text(fields, "reason", TEXT_CHARS_MAX)
}

/// Text that people write; empty when there is none.
fn free_text(fields: &mut Fields<'_>, name: &'static str, max: usize) -> Option<Arc<str>> {
    if !fields.has(name) {
        fields.json(name);
        return Some("".into());
    }
    let text = fields.optional_text(name, max)?;
    without_card_number(fields, name, text).map(Arc::from)
}

fn without_card_number<'t>(fields: &Fields<'_>, name: &str, text: &'t str) -> Option<&'t str> {
    if card_number::is_in(text) {
        // Nothing of it is repeated.
        fields.refuse(name, Code::CardNumberRefused, "must not hold a card number");
        return None;
    }
    Some(text)
}
