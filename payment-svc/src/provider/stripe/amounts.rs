//! Amounts as Stripe counts them: whole minor units of a currency.

use proto::Money;

/// Currencies that Stripe counts with other decimals than ISO 4217: krónur and shillings have none,
/// but are counted with two for the sake of old integrations; ariary have none at Stripe.
const OTHER_DIGITS: [(&str, u32); 3] = [("ISK", 2), ("UGX", 2), ("MGA", 0)];

/// The amount in minor units; `None` where Stripe cannot count it exactly.
pub(super) fn minor_units(money: Money) -> Option<i64> {
    let ours = money.currency().digits();
    let other = OTHER_DIGITS.iter().find(|(code, _)| *code == money.currency().code());
    let theirs = other.map_or(ours, |(_, digits)| *digits);
    // Money has exactly the decimals of its currency, so this is the amount in our minor units.
    let mut units = money.amount().mantissa();
    if theirs >= ours {
        units = units.checked_mul(10_i128.checked_pow(theirs - ours)?)?;
    } else {
        let factor = 10_i128.checked_pow(ours - theirs)?;
        if units % factor != 0 {
            return None;
        }
        units /= factor;
    }
    // Card networks count three decimals in steps of ten.
    if theirs == 3 && units % 10 != 0 {
        return None;
    }
    i64::try_from(units).ok().filter(|units| *units > 0)
}

#[cfg(test)]
mod tests {
    use proto::Currency;

    use super::*;

    #[test]
    fn amounts_are_counted_in_the_minor_units_of_their_currency() {
        for (code, amount, units) in [
            ("USD", "59.98", Some(5_998)),
            ("USD", "0.01", Some(1)),
            ("USD", "9999999.99", Some(999_999_999)),
            ("JPY", "500", Some(500)),
            ("KWD", "5.120", Some(5_120)),
            ("KWD", "5.124", None),
            ("ISK", "500", Some(50_000)),
            ("UGX", "500", Some(50_000)),
            ("MGA", "12.00", Some(12)),
            ("MGA", "12.50", None),
            ("USD", "0.00", None),
        ] {
            let money = Money::parse(amount, Currency::parse(code).unwrap()).unwrap();
            assert_eq!(minor_units(money), units, "{amount} {code}");
        }
    }
}
