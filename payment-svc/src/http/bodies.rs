//! Request bodies: what may be in them, and which faults of them are noted.

use chassis::{
    Code,
    body::{Fields, Format, invalid_value},
};
use proto::{Currency, OrderId, limits};
use service_kit::AmountRequest;
use time::Date;
use uuid::Uuid;

use crate::{
    cards::{self, Wrong},
    domain::{Card, Instrument},
    provider::CardRouting,
};

/// Month and year, as they are printed.
const EXPIRY: &str = "^(0[1-9]|1[0-2])/[0-9]{2}$";

/// What cards are read by.
#[derive(Clone, Copy)]
pub(super) struct CardRules {
    /// Cards that have expired by then are declined.
    pub(super) today: Date,
    pub(super) routing: CardRouting,
}

/// A request to pay.
pub(super) struct Payment {
    pub(super) order: OrderId,
    pub(super) amount: Option<AmountRequest>,
    pub(super) instrument: Instrument,
}

pub(super) fn payment(fields: &mut Fields<'_>, rules: CardRules) -> Option<Payment> {
    let order = fields.parsed("order_id", |text| OrderId::parse(text).map_err(invalid_value));
    let amount = AmountRequest::read_optional(fields, "amount");
    let instrument = instrument(fields, rules);
    Some(Payment { order: order?, amount: amount?, instrument: instrument? })
}

/// An instrument that nobody can pay with: the JSON member at fault, and why.
pub(super) struct Unusable {
    member: &'static str,
    pub(super) code: Code,
    detail: &'static str,
}

/// Reads the member `payment_method`; an unusable instrument is noted as a fault.
fn instrument(fields: &mut Fields<'_>, rules: CardRules) -> Option<Instrument> {
    fields.object("payment_method", |method| {
        read_instrument(method, rules)?
            .map_err(|Unusable { member, code, detail }| method.refuse(member, code, detail))
            .ok()
    })
}

/// Reads the member `payment_method`; an unusable instrument is returned, for `validate` to report.
pub(super) fn any_instrument(
    fields: &mut Fields<'_>,
    rules: CardRules,
) -> Option<Result<Instrument, Unusable>> {
    fields.object("payment_method", |method| read_instrument(method, rules))
}

fn read_instrument(
    method: &mut Fields<'_>,
    rules: CardRules,
) -> Option<Result<Instrument, Unusable>> {
    match method.formatted("type", Format::Words(&["wallet", "card", "credit_card"]))? {
        "wallet" => Some(Ok(Instrument::Wallet)),
        "card" => Some(token(method, rules.routing)?.map(Instrument::Card)),
        "credit_card" => Some(card(method, rules.today)?.map(Instrument::Card)),
        _ => {
            // The members of an unknown type are not known, so none of them is unexpected.
            for name in ["token", "card_number", "expiry", "cvv"] {
                method.json(name);
            }
            let detail = "is not wallet, card or credit_card";
            Some(Err(Unusable { member: "type", code: Code::UnknownPaymentMethod, detail }))
        }
    }
}

fn token(method: &mut Fields<'_>, routing: CardRouting) -> Option<Result<Card, Unusable>> {
    let token = method.text("token", limits::TOKEN_CHARS_MAX)?;
    if proto::card_number::is_in(token) {
        let detail = "has a card number in it: send a provider's token";
        return Some(Err(Unusable { member: "token", code: Code::CardNumberRefused, detail }));
    }
    Some(Ok(cards::of_token(token, routing)))
}

/// Reads a card as it is printed. Nothing of it is stored, logged or shown but its last four
/// digits.
fn card(method: &mut Fields<'_>, today: Date) -> Option<Result<Card, Unusable>> {
    let number = method.text("card_number", limits::TEXT_CHARS_MAX);
    let expiry = method.formatted("expiry", Format::Pattern(EXPIRY));
    let code = method.optional_text("cvv", limits::TEXT_CHARS_MAX);
    let unusable = |member, code, detail| Unusable { member, code, detail };
    let tokenized = cards::tokenize(number?, expiry?, today).map_err(|wrong| match wrong {
        Wrong::Number => unusable(
            "card_number",
            Code::CardNumberRefused,
            "is not the published number of a test card: send a provider's token",
        ),
        Wrong::Expiry => unusable("expiry", Code::InvalidValue, "has to be MM/YY"),
    });
    if code.is_some_and(|code| !is_code(code)) {
        let wrong = unusable("cvv", Code::InvalidValue, "has to be 3 or 4 digits");
        return Some(tokenized.and(Err(wrong)));
    }
    Some(tokenized)
}

fn is_code(text: &str) -> bool {
    (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The currency of a new account.
pub(super) fn currency(fields: &mut Fields<'_>) -> Option<Currency> {
    let is_absent = !fields.has("currency");
    let named = fields.optional_parsed("currency", |code| {
        let unknown = (Code::UnknownCurrency, "is not a currency of ISO 4217 in force".into());
        Currency::in_force(code).map_err(|_| unknown)
    });
    if is_absent { Some(Currency::USD) } else { named }
}

/// The order that money is held for, and how much.
pub(super) fn hold(fields: &mut Fields<'_>) -> Option<(OrderId, AmountRequest)> {
    let order = any_order(fields);
    let amount = AmountRequest::read(fields, "amount");
    Some((order?, amount?))
}

/// The order that money is held for: any UUID, because the order may not exist yet.
pub(super) fn any_order(fields: &mut Fields<'_>) -> Option<OrderId> {
    fields.parsed_as("order_id", Format::Named("uuid"), |text| {
        let uuid = Uuid::try_parse(text).map(OrderId::new);
        uuid.map_err(|_| (Code::InvalidValue, "has to be a UUID".into()))
    })
}
