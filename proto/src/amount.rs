//! Money: an exact amount that never parts from its currency.
//!
//! The amount always has exactly the decimals of its currency, so that equal money has equal bytes
//! everywhere. Nothing here rounds: an amount that does not fit is an error, and
//! [`Money::allocate`] hands out whole minor units, every last one of them.

use std::{cmp::Ordering, fmt};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The largest amount that is accepted from outside, of either sign: 9,999,999.99.
const ASKED_MAX: Decimal = Decimal::from_parts(999_999_999, 0, 0, false, 2);
/// The limit of the column type `numeric(19,4)`: 15 digits before the point.
const HELD_MAX: Decimal = Decimal::from_parts(2_764_472_319, 232_830, 0, false, 0);

/// A currency of ISO 4217. It may have no minor units (the yen), but it has to be money.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Currency(iso_currency::Currency);

/// A text that is not the code of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the code of a currency of ISO 4217")]
pub struct UnknownCurrency;

impl Currency {
    /// The currency that is meant where a request names none.
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// Parses three capital letters that we wrote ourselves, so currencies that were withdrawn
    /// since are accepted, too. Gold, test codes and the like are refused: they are not money.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|known| known.code() == code && known.exponent().is_some())
            .map(Self)
            .ok_or(UnknownCurrency)
    }

    /// Parses the currency of a request, which has to be in force today.
    pub fn in_force(code: &str) -> Result<Self, UnknownCurrency> {
        Self::parse(code).ok().filter(|known| !known.is_withdrawn()).ok_or(UnknownCurrency)
    }

    fn is_withdrawn(self) -> bool {
        // The crate marks one of the bolívar's two codes as superseded; ISO 4217 has both in force.
        self.0.is_superseded().is_some() && self.0 != iso_currency::Currency::VES
    }

    /// The currency's code, three capital letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The decimals of an amount: 2 for the dollar, 0 for the yen, 3 for the Kuwaiti dinar.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(code: String) -> Result<Self, UnknownCurrency> {
        Self::parse(&code)
    }
}

/// An amount in a currency, of any sign, with exactly the currency's decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

/// Why an amount cannot be money of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("not a decimal number")]
    NotANumber,
    #[error("an amount is written without an exponent")]
    Exponent,
    #[error("more decimals than the currency has")]
    TooManyDecimals,
    #[error("the amount is too large")]
    TooLarge,
}

/// Why two amounts have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SumError {
    #[error("the currencies differ")]
    CurrencyMismatch,
    #[error("the amount is too large")]
    TooLarge,
}

impl Money {
    /// Money from an amount that we computed or stored. Zeros beyond the currency's decimals are
    /// dropped, because `numeric(19,4)` adds them; other digits there are refused.
    pub fn new(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let mut scaled = amount;
        scaled.rescale(currency.digits());
        if scaled != amount {
            let exact = amount.normalize().scale() <= currency.digits();
            return Err(if exact { MoneyError::TooLarge } else { MoneyError::TooManyDecimals });
        }
        if scaled.is_zero() {
            return Ok(Self::zero(currency));
        }
        if scaled.abs() > HELD_MAX || scaled.scale() != currency.digits() {
            return Err(MoneyError::TooLarge);
        }
        Ok(Self { amount: scaled, currency })
    }

    /// Parses an amount from a request: digits, perhaps a minus and a point; 9,999,999.99 at most.
    /// Decimals beyond the currency's are refused even where they are zeros, and so are leading
    /// zeros.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, decimals) = match mantissa.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (mantissa, None),
        };
        let padded = whole.len() > 1 && whole.starts_with('0');
        if !is_digits(whole) || padded || !decimals.is_none_or(is_digits) {
            return Err(MoneyError::NotANumber);
        }
        if let Some(exponent) = exponent {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let number = is_digits(digits);
            return Err(if number { MoneyError::Exponent } else { MoneyError::NotANumber });
        }
        if decimals.map_or(0, str::len) > currency.digits() as usize {
            return Err(MoneyError::TooManyDecimals);
        }
        // A number with too many digits for a `Decimal` is far above the limit.
        let amount = Decimal::from_str_exact(text).map_err(|_| MoneyError::TooLarge)?;
        if amount.abs() > ASKED_MAX {
            return Err(MoneyError::TooLarge);
        }
        Self::new(amount, currency)
    }

    /// Nothing, in `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::new(0, currency.digits()), currency }
    }

    /// The amount in units of its currency.
    pub fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum; an error if the currencies differ or the sum is too large for an amount.
    pub fn plus(self, other: Self) -> Result<Self, SumError> {
        if self.currency != other.currency {
            return Err(SumError::CurrencyMismatch);
        }
        let sum = self.amount.checked_add(other.amount).ok_or(SumError::TooLarge)?;
        Self::new(sum, self.currency).map_err(|_| SumError::TooLarge)
    }

    /// The difference, which may be negative; an error as for [`plus`](Self::plus).
    pub fn minus(self, other: Self) -> Result<Self, SumError> {
        self.plus(Self { amount: -other.amount, currency: other.currency })
    }

    /// The amount `count` times; an error if that is too large for an amount.
    pub fn times(self, count: u32) -> Result<Self, SumError> {
        let product = self.amount.checked_mul(count.into()).ok_or(SumError::TooLarge)?;
        Self::new(product, self.currency).map_err(|_| SumError::TooLarge)
    }

    /// Whether it is more than nothing.
    pub fn is_positive(self) -> bool {
        self.amount > Decimal::ZERO
    }

    /// Whether the amount is nothing.
    pub fn is_zero(self) -> bool {
        self.amount.is_zero()
    }

    /// Whether the amount is less than nothing.
    pub fn is_negative(self) -> bool {
        self.amount < Decimal::ZERO
    }

    /// Splits the amount into one share for each of `parts`, in proportion to them; the shares sum
    /// to the amount exactly. Minor units left over go to the largest remainders, the first among
    /// equals. If all parts are zero, the shares are as for equal parts; no parts give no shares.
    pub fn allocate(self, parts: &[u32]) -> Vec<Self> {
        let even = parts.iter().all(|part| *part == 0);
        let weights = parts.iter().map(|part| if even { 1 } else { i128::from(*part) });
        let total: i128 = weights.clone().sum();
        let minor = self.amount.mantissa().abs();
        let mut shares: Vec<_> =
            weights.map(|weight| (minor * weight / total, minor * weight % total)).collect();

        let mut left = minor - shares.iter().map(|(share, _)| share).sum::<i128>();
        let mut by_remainder: Vec<_> = shares.iter_mut().collect();
        by_remainder.sort_by_key(|(_, remainder)| std::cmp::Reverse(*remainder));
        for (share, _) in by_remainder {
            if left == 0 {
                break;
            }
            *share += 1;
            left -= 1;
        }

        let sign = if self.is_negative() { -1 } else { 1 };
        let money = |(share, _)| {
            let amount = Decimal::from_i128_with_scale(sign * share, self.currency.digits());
            Self { amount, currency: self.currency }
        };
        shares.into_iter().map(money).collect()
    }

    /// The amount alone, with all of the currency's decimals: `59.90`.
    pub fn amount_text(self) -> String {
        self.amount.to_string()
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Amounts of different currencies are neither more nor less.
impl PartialOrd for Money {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.currency == other.currency).then(|| self.amount.cmp(&other.amount))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How money is written in JSON.
#[derive(Serialize, Deserialize)]
struct JsonMoney {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonMoney { amount: self.amount_text(), currency: self.currency }.serialize(serializer)
    }
}

/// Reads money that we wrote ourselves; amounts in requests are read by [`Money::parse`].
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = JsonMoney::deserialize(deserializer)?;
        let amount = Decimal::from_str_exact(&written.amount).map_err(serde::de::Error::custom)?;
        Self::new(amount, written.currency).map_err(serde::de::Error::custom)
    }
}

/// Why money in an event cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireMoneyError {
    #[error("the currency is unknown")]
    Currency(#[from] UnknownCurrency),
    #[error("the amount does not fit its currency")]
    Amount(#[from] MoneyError),
    #[error("units and nanos contradict each other")]
    Nanos,
}

impl From<Money> for crate::money::Money {
    fn from(money: Money) -> Self {
        let nanos = NANO_SCALE - money.currency.digits();
        let whole = money.amount.mantissa() * 10_i128.pow(nanos);
        Self {
            currency_code: money.currency.code().to_owned(),
            units: i64::try_from(whole / NANOS).expect("15 digits at most"),
            nanos: i32::try_from(whole % NANOS).expect("9 digits at most"),
        }
    }
}

impl TryFrom<crate::money::Money> for Money {
    type Error = WireMoneyError;

    fn try_from(wire: crate::money::Money) -> Result<Self, WireMoneyError> {
        let (units, nanos) = (i128::from(wire.units), i128::from(wire.nanos));
        if nanos.abs() >= NANOS || units.signum() * nanos.signum() < 0 {
            return Err(WireMoneyError::Nanos);
        }
        let currency = Currency::parse(&wire.currency_code)?;
        let amount = Decimal::from_i128_with_scale(units * NANOS + nanos, NANO_SCALE);
        Ok(Self::new(amount, currency)?)
    }
}

const NANO_SCALE: u32 = 9;
const NANOS: i128 = 1_000_000_000;

#[cfg(test)]
mod tests;
