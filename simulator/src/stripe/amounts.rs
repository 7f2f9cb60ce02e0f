//! Minor units, as Stripe counts them.

use proto::{Currency, Money};

/// Decimals of currencies that Stripe counts otherwise than ISO 4217.
const OTHER_DIGITS: [(&str, u32); 3] = [("ISK", 2), ("UGX", 2), ("MGA", 0)];

/// The minor units of money.
pub(super) fn units_of(money: Money) -> i128 {
    let mut amount = money.amount();
    amount.rescale(digits(money.currency()));
    amount.mantissa()
}

/// The decimals of a currency at Stripe.
pub(super) fn digits(currency: Currency) -> u32 {
    let other = OTHER_DIGITS.iter().find(|(code, _)| *code == currency.code());
    other.map_or(currency.digits(), |(_, digits)| *digits)
}
