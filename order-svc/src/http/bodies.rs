//! Request bodies: what may be in them, and which faults of them are noted.

use std::{collections::BTreeSet, sync::Arc};

use chassis::{
    Code,
    body::{Fields, invalid_value},
};
use proto::{
    Currency, CustomerId, Money, OrderId, Sku,
    limits::{LINES_MAX, NOTE_CHARS_MAX, QUANTITY_MAX, TEXT_CHARS_MAX, TOKEN_CHARS_MAX},
};
use service_kit::AmountRequest;

use crate::{
    domain::{LineRequest, Method, OrderRequest},
    input::AmendedLines,
};

/// The body of a request to place an order.
pub(super) struct Body {
    pub(super) request: OrderRequest,
    pub(super) note: Arc<str>,
    /// The card's token, if the order is paid by card.
    pub(super) token: Option<String>,
    /// For each line, the JSON member that named its product.
    pub(super) names: Arc<[&'static str]>,
}

/// What an order has besides its body.
pub(super) struct OrderTerms<'a> {
    pub(super) id: OrderId,
    /// How long it may wait for its payment once its stock is reserved.
    pub(super) pay_within: time::Duration,
    /// Whose order it is if the body names nobody.
    pub(super) buyer: Option<&'a CustomerId>,
}

/// Reads an order; `None` when faults were noted.
pub(super) fn order(fields: &mut Fields<'_>, terms: &OrderTerms<'_>) -> Option<Body> {
    let OrderTerms { id, pay_within, buyer } = *terms;
    let parse = |text: &str| CustomerId::parse(text).map_err(invalid_value);
    let own = buyer.filter(|_| !fields.has("customer_id"));
    let named = match buyer {
        Some(_) => fields.optional_parsed("customer_id", parse),
        None => fields.parsed("customer_id", parse),
    };
    let customer = own.cloned().or(named);
    let currency = fields.optional_parsed("currency", |text| {
        Currency::in_force(text).map_err(|wrong| (Code::UnknownCurrency, wrong.to_string().into()))
    });
    // An unknown currency has been noted; the other fields are checked nevertheless.
    let currency = currency.unwrap_or(Currency::USD);
    let note = free_text(fields, "note", NOTE_CHARS_MAX);
    let lines = items(fields, currency);
    let is_paid_later = !fields.has("payment");
    let payment = fields.optional_object("payment", payment);
    let (method, token) = if is_paid_later { (Method::Deferred, None) } else { payment? };
    let (customer, note) = (customer?, note?);
    let AmendedLines { lines, names } = lines?;
    let request = OrderRequest { id, customer, currency, lines, method, pay_within };
    Some(Body { request, note, token, names })
}

/// Reads the lines of an order in this currency, no SKU twice.
pub(super) fn items(fields: &mut Fields<'_>, currency: Currency) -> Option<AmendedLines> {
    let mut skus = BTreeSet::new();
    let lines = fields.list("items", LINES_MAX, |item| {
        let wanted = line(item, currency)?;
        if let LineRequest::Product { sku, .. } = &wanted
            && !skus.insert(sku.clone())
        {
            item.refuse(product_name(item), Code::DuplicateLine, "is in the order twice");
            return None;
        }
        Some((wanted, product_name(item)))
    });
    let (lines, names): (Vec<_>, Vec<_>) = lines?.into_iter().unzip();
    Some(AmendedLines { lines: lines.into(), names: names.into() })
}

/// How the goods travel: the carrier, and its number for them.
pub(super) fn shipment(fields: &mut Fields<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let mut word = |name| fields.words(name, TEXT_CHARS_MAX).map(Arc::from);
    let (carrier, tracking_number) = (word("carrier"), word("tracking_number"));
    Some((carrier?, tracking_number?))
}

fn product_name(item: &Fields<'_>) -> &'static str {
    if item.has("product_id") { "product_id" } else { "sku" }
}

fn line(item: &mut Fields<'_>, currency: Currency) -> Option<LineRequest> {
    let quantity = item.integer("quantity", 1..=QUANTITY_MAX.into());
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
        price(item, currency);
        return None;
    };
    if name == "description" {
        let description = item.words(name, TEXT_CHARS_MAX).map(Arc::from);
        let unit_price = AmountRequest::read(item, "unit_price");
        let unit_price = in_currency(item, &unit_price?, currency)?;
        let (description, quantity) = (description?, u32::try_from(quantity?).ok()?);
        return Some(LineRequest::Extra { description, quantity, unit_price });
    }
    let sku = item.parsed(name, |text| Sku::parse(text).map_err(invalid_value));
    let seen = price(item, currency)?;
    Some(LineRequest::Product { sku: sku?, quantity: u32::try_from(quantity?).ok()?, seen })
}

/// A line's price, if it has one; `None` when a fault of it was noted.
#[expect(clippy::option_option, reason = "as for all fields, `None` is a fault noted")]
fn price(item: &mut Fields<'_>, currency: Currency) -> Option<Option<Money>> {
    let Some(amount) = AmountRequest::read_optional(item, "unit_price")? else { return Some(None) };
    in_currency(item, &amount, currency).map(Some)
}

fn in_currency(item: &Fields<'_>, price: &AmountRequest, currency: Currency) -> Option<Money> {
    price.in_currency(currency).map_err(|fault| fault.note(item, "unit_price")).ok()
}

fn payment(fields: &mut Fields<'_>) -> Option<(Method, Option<String>)> {
    let is_paid_later = !fields.has("method");
    let method = fields.optional_parsed("method", |word| {
        let wrong = "is not wallet, card or deferred";
        Method::parse(word).ok_or((Code::UnknownPaymentMethod, wrong.into()))
    });
    let method = if is_paid_later { Some(Method::Deferred) } else { method };
    match method {
        Some(Method::Card) => {
            Some((Method::Card, Some(fields.words("token", TOKEN_CHARS_MAX)?.to_owned())))
        }
        Some(method @ (Method::Wallet | Method::Deferred)) => {
            if fields.has("token") {
                fields.json("token");
                fields.refuse("token", Code::InvalidValue, "is for cards only");
                return None;
            }
            fields.absent("token");
            Some((method, None))
        }
        None => {
            fields.json("token");
            None
        }
    }
}

/// Why an order is cancelled, in the caller's words.
pub(super) fn reason(fields: &mut Fields<'_>) -> Option<Arc<str>> {
    free_text(fields, "reason", TEXT_CHARS_MAX)
}

/// Text that people write; empty when there is none.
fn free_text(fields: &mut Fields<'_>, name: &'static str, max: usize) -> Option<Arc<str>> {
    let is_empty = !fields.has(name);
    let words = fields.optional_words(name, max);
    if is_empty { Some("".into()) } else { words.map(Arc::from) }
}
