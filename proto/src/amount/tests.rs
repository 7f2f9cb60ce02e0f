//! Money: exact sums and shares, and amounts of every form, with generated values.

use proptest::prelude::*;

use super::*;

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap()
}

fn any_currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "CLF"]).prop_map(currency)
}

/// Money of either sign, as large as an account may hold.
fn any_money() -> impl Strategy<Value = Money> {
    (any_currency(), -999_999_999_999_999_i64..=999_999_999_999_999).prop_map(
        |(currency, minor)| {
            let amount = Decimal::new(minor, currency.digits());
            Money::new(amount, currency).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn shares_sum_to_the_whole(
        whole in any_money(),
        parts in prop::collection::vec(any::<u32>(), 1..12),
    ) {
        let shares = whole.allocate(&parts);

        prop_assert_eq!(shares.len(), parts.len());
        let zero = Money::zero(whole.currency());
        let sum = shares.into_iter().try_fold(zero, Money::plus);
        prop_assert_eq!(sum, Ok(whole));
    }

    #[test]
    fn shares_are_within_one_minor_unit_of_their_part(
        minor in -999_999_999_i64..=999_999_999,
        parts in prop::collection::vec(1..1_000_u32, 1..12),
    ) {
        let whole = Money::new(Decimal::new(minor, 2), Currency::USD).unwrap();
        let total: i128 = parts.iter().copied().map(i128::from).sum();
        for (share, part) in whole.allocate(&parts).iter().zip(&parts) {
            let off = share.amount().mantissa() * total - i128::from(minor) * i128::from(*part);
            prop_assert!(off.abs() < total);
        }
    }

    #[test]
    fn the_wire_keeps_money(money in any_money()) {
        let wire = crate::money::Money::from(money);

        prop_assert_eq!(Money::try_from(wire), Ok(money));
    }

    #[test]
    fn what_is_written_is_read_again(money in any_money()) {
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);

        let read = Money::parse(&money.amount_text(), money.currency());
        let too_large = money.amount().abs() > ASKED_MAX;
        let expected = if too_large { Err(MoneyError::TooLarge) } else { Ok(money) };
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn plus_and_minus_undo_each_other(a in any_money(), b in any_money()) {
        match a.plus(b) {
            Ok(sum) => {
                prop_assert_eq!(sum.minus(b), Ok(a));
                prop_assert_eq!(b.plus(a), Ok(sum));
            }
            Err(SumError::CurrencyMismatch) => prop_assert_ne!(a.currency(), b.currency()),
            Err(SumError::TooLarge) => prop_assert_eq!(a.is_negative(), b.is_negative()),
        }
    }

    #[test]
    fn currencies_do_not_mix(a in any_money(), b in any_money()) {
        prop_assume!(a.currency() != b.currency());

        prop_assert_eq!(a.plus(b), Err(SumError::CurrencyMismatch));
        prop_assert_eq!(a.minus(b), Err(SumError::CurrencyMismatch));
        prop_assert_eq!(a.partial_cmp(&b), None);
    }

    #[test]
    fn times_is_repeated_plus(money in any_money(), count in 0..20_u32) {
        let sum = (0..count).try_fold(Money::zero(money.currency()), |sum, _| sum.plus(money));
        prop_assert_eq!(money.times(count), sum);
    }

    #[test]
    fn any_text_is_money_or_an_error(text in "\\PC{0,40}", currency in any_currency()) {
        if let Ok(money) = Money::parse(&text, currency) {
            prop_assert_eq!(money.amount().scale(), currency.digits());
        }
    }
}

#[test]
fn an_amount_is_digits_perhaps_with_a_sign_and_a_point() {
    assert_eq!(usd("59.98").to_string(), "59.98 USD");
    assert_eq!(usd("5.9").amount_text(), "5.90");
    assert_eq!(usd("0.07").amount_text(), "0.07");
    assert_eq!(usd("-1.50").amount_text(), "-1.50");
    assert_eq!(usd("9999999.99").amount_text(), "9999999.99");
    assert_eq!(Money::parse("500", currency("JPY")).unwrap().amount_text(), "500");
    assert_eq!(Money::parse("0.5", currency("KWD")).unwrap().amount_text(), "0.500");
}

#[test]
fn each_bad_amount_has_its_error() {
    for (text, error) in [
        ("", MoneyError::NotANumber),
        (".", MoneyError::NotANumber),
        (".5", MoneyError::NotANumber),
        ("5.", MoneyError::NotANumber),
        ("+5", MoneyError::NotANumber),
        ("007.00", MoneyError::NotANumber),
        ("00", MoneyError::NotANumber),
        ("-01", MoneyError::NotANumber),
        ("--5", MoneyError::NotANumber),
        ("1_000", MoneyError::NotANumber),
        ("1,000.00", MoneyError::NotANumber),
        (" 1", MoneyError::NotANumber),
        ("NaN", MoneyError::NotANumber),
        ("0x10", MoneyError::NotANumber),
        ("e5", MoneyError::NotANumber),
        ("1e", MoneyError::NotANumber),
        ("٣", MoneyError::NotANumber),
        ("1e2", MoneyError::Exponent),
        ("1.5E-2", MoneyError::Exponent),
        ("1.999", MoneyError::TooManyDecimals),
        ("1.000", MoneyError::TooManyDecimals),
        ("10000000.00", MoneyError::TooLarge),
        ("-10000000", MoneyError::TooLarge),
        (&"9".repeat(200), MoneyError::TooLarge),
    ] {
        assert_eq!(Money::parse(text, Currency::USD), Err(error), "{text}");
    }
    assert_eq!(Money::parse("1.0", currency("JPY")), Err(MoneyError::TooManyDecimals));
}

#[test]
fn a_database_may_add_zeros_but_no_digits() {
    let read = |mantissa, scale| Money::new(Decimal::new(mantissa, scale), Currency::USD);

    assert_eq!(read(599_800, 4).unwrap(), usd("59.98"));
    assert_eq!(read(599_800, 4).unwrap().amount_text(), "59.98");
    assert_eq!(read(599_801, 4), Err(MoneyError::TooManyDecimals));
    assert_eq!(read(1_000_000_000_000_000, 0), Err(MoneyError::TooLarge));
    assert_eq!(Money::new(Decimal::MAX, Currency::USD), Err(MoneyError::TooLarge));
    assert_eq!(read(-0, 4).unwrap().amount_text(), "0.00");
}

#[test]
fn zero_has_no_sign() {
    for zero in [usd("-0.00"), usd("1").minus(usd("1")).unwrap(), usd("-1").times(0).unwrap()] {
        assert_eq!(zero.amount_text(), "0.00");
        assert!(zero.is_zero() && !zero.is_positive() && !zero.is_negative());
    }
    assert_eq!(Money::zero(Currency::USD).minus(Money::zero(Currency::USD)), Ok(usd("0")));
    assert_eq!(usd("0").allocate(&[1, 2])[0].amount_text(), "0.00");
}

#[test]
fn what_cannot_be_split_evenly_goes_to_the_largest_remainders() {
    let texts = |whole: &str, parts: &[u32]| -> Vec<_> {
        usd(whole).allocate(parts).into_iter().map(Money::amount_text).collect()
    };

    assert_eq!(texts("10.00", &[1, 1, 1]), ["3.34", "3.33", "3.33"]);
    assert_eq!(texts("0.05", &[3, 7]), ["0.02", "0.03"]);
    assert_eq!(texts("-10.00", &[1, 1, 1]), ["-3.34", "-3.33", "-3.33"]);
    assert_eq!(texts("1.00", &[0, 1]), ["0.00", "1.00"]);
    assert_eq!(texts("0.01", &[0, 0]), ["0.01", "0.00"]);
    assert!(texts("1.00", &[]).is_empty());
}

#[test]
fn only_money_is_a_currency() {
    assert_eq!(currency("USD"), Currency::USD);
    assert_eq!((currency("JPY").digits(), currency("KWD").digits()), (0, 3));
    for code in ["", "usd", "US", "USDX", "QQQ", "XAU", "XXX", "$$$"] {
        assert_eq!(Currency::parse(code), Err(UnknownCurrency), "{code}");
    }
}

#[test]
fn a_withdrawn_currency_is_read_where_we_wrote_it_and_refused_where_people_do() {
    for code in ["HRK", "ZWL", "SLL", "CUC", "BGN"] {
        assert_eq!(currency(code).code(), code);
        assert_eq!(Currency::in_force(code), Err(UnknownCurrency), "{code}");
    }
    for code in ["USD", "EUR", "VES", "VED", "SLE", "ZWG", "CUP"] {
        assert_eq!(Currency::in_force(code), Ok(currency(code)));
    }
    assert_eq!(Currency::in_force("XAU"), Err(UnknownCurrency));
}

#[test]
fn no_currency_has_more_decimals_than_the_database() {
    for code in ["USD", "JPY", "KWD", "BHD", "TND", "CLF", "UYW"] {
        assert!(currency(code).digits() <= 4, "{code}");
    }
}

#[test]
fn money_is_an_object_in_json() {
    let json = r#"{"amount":"59.98","currency":"USD"}"#;

    assert_eq!(serde_json::to_string(&usd("59.98")).unwrap(), json);
    assert!(serde_json::from_str::<Money>(r#"{"amount":"1.234","currency":"USD"}"#).is_err());
}

#[test]
fn units_and_nanos_must_agree() {
    let wire = |currency_code: &str, units, nanos| {
        Money::try_from(crate::money::Money { currency_code: currency_code.into(), units, nanos })
    };

    assert_eq!(wire("USD", 59, 980_000_000), Ok(usd("59.98")));
    assert_eq!(wire("USD", 0, -10_000_000), Ok(usd("-0.01")));
    assert_eq!(wire("USD", 1, -10_000_000), Err(WireMoneyError::Nanos));
    assert_eq!(wire("USD", 1, 1_000_000_000), Err(WireMoneyError::Nanos));
    assert_eq!(wire("USD", 0, 1), Err(MoneyError::TooManyDecimals.into()));
    assert_eq!(wire("USD", i64::MAX, 0), Err(MoneyError::TooLarge.into()));
    assert_eq!(wire("JPY", 1, 500_000_000), Err(MoneyError::TooManyDecimals.into()));
    assert_eq!(wire("usd", 1, 0), Err(UnknownCurrency.into()));
}
