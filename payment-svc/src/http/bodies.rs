//! Request bodies: what may be in them, and what is wrong with what is.

use chassis::{
    Code, Problem,
    body::{Amount, Fields},
};
use proto::{Currency, Money, MoneyError, OrderId};
use time::Date;
use uuid::Uuid;

use crate::{
    cards::{self, TOKEN_CHARS_MAX, Wrong},
    domain::{Card, Instrument},
};

/// A request to pay. The amount is read once the order's currency is known.
pub(super) struct Payment {
    pub(super) order: OrderId,
    pub(super) amount: Option<Amount>,
    pub(super) instrument: Instrument,
}

pub(super) fn payment(fields: &mut Fields<'_>, today: Date) -> Option<Payment> {
    let order = fields.parsed("order_id", |text| {
        OrderId::parse(text).map_err(|error| (Code::InvalidValue, error.to_string().into()))
    });
    let amount = fields.optional_amount("amount");
    let instrument = instrument(fields, today);
    Some(Payment { order: order?, amount, instrument: instrument? })
}

/// The member `payment_method`.
pub(super) fn instrument(fields: &mut Fields<'_>, today: Date) -> Option<Instrument> {
    fields.object("payment_method", |method| match method.text("type", 200)? {
        "wallet" => Some(Instrument::Wallet),
        "card" => token(method).map(Instrument::Card),
        "credit_card" => card(method, today).map(Instrument::Card),
        _ => {
            method.refuse("type", Code::UnknownPaymentMethod, "is not wallet, card or credit_card");
            // What belongs to it is not known, so nothing is too much.
            for name in ["token", "card_number", "expiry", "cvv"] {
                method.json(name);
            }
            None
        }
    })
}

fn token(method: &mut Fields<'_>) -> Option<Card> {
    let token = method.text("token", TOKEN_CHARS_MAX)?;
    if cards::is_number(token) {
        method.refuse("token", Code::CardNumberRefused, "is a card number, not a token");
        return None;
    }
    Some(cards::of_token(token))
}

/// A card as it is written on it. Nothing of it is kept, logged or told but its last four digits.
fn card(method: &mut Fields<'_>, today: Date) -> Option<Card> {
    let number = method.text("card_number", 200);
    let expiry = method.text("expiry", 200);
    let code = method.optional_text("cvv", 200);
    if code.is_some_and(|code| !is_code(code)) {
        method.refuse("cvv", Code::InvalidValue, "has to be 3 or 4 digits");
    }
    match cards::tokenize(number?, expiry?, today) {
        Ok(card) => Some(card),
        Err(Wrong::Number) => {
            let detail = "is not the published number of a test card: send a provider's token";
            method.refuse("card_number", Code::CardNumberRefused, detail);
            None
        }
        Err(Wrong::Expiry) => {
            method.refuse("expiry", Code::InvalidValue, "has to be MM/YY");
            None
        }
    }
}

fn is_code(text: &str) -> bool {
    (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The currency of a new account.
pub(super) fn currency(fields: &mut Fields<'_>) -> Option<Currency> {
    if !fields.has("currency") {
        fields.json("currency");
        return Some(Currency::USD);
    }
    fields.parsed("currency", |code| {
        let unknown = (Code::UnknownCurrency, "is not a currency of ISO 4217".into());
        Currency::parse(code).map_err(|_| unknown)
    })
}

/// The order that money is held for: any UUID.
pub(super) fn any_order(fields: &mut Fields<'_>) -> Option<OrderId> {
    fields.parsed("order_id", |text| {
        let uuid = Uuid::try_parse(text).map(OrderId::new);
        uuid.map_err(|_| (Code::InvalidValue, "has to be a UUID".into()))
    })
}

/// An amount in the one currency that fits, and more than nothing.
pub(super) fn money(amount: &Amount, currency: Currency) -> Result<Money, Problem> {
    let refused = |code, detail| Err(Problem::new(code, detail).at("/amount", code, detail));
    if let Some(code) = &amount.currency {
        let pointer = "/amount/currency";
        let wrong = |code, detail| Problem::new(code, detail).at(pointer, code, detail);
        let known = Currency::parse(code)
            .map_err(|_| wrong(Code::UnknownCurrency, "is not a currency of ISO 4217"))?;
        if known != currency {
            return Err(wrong(Code::InvalidValue, "is not the currency of the order or account"));
        }
    }
    match Money::parse(&amount.text, currency) {
        Ok(money) if money.is_positive() => Ok(money),
        Ok(_) => refused(Code::AmountNotPositive, "the amount has to be more than nothing"),
        Err(MoneyError::TooManyDecimals) => {
            refused(Code::TooManyDecimals, "the amount has more decimals than its currency")
        }
        Err(MoneyError::NotANumber) => {
            refused(Code::InvalidValue, "the amount is not a decimal number")
        }
        Err(MoneyError::Exponent) => {
            refused(Code::InvalidValue, "the amount is written with an exponent")
        }
        Err(MoneyError::TooLarge) => refused(Code::InvalidValue, "the amount is too large"),
    }
}
