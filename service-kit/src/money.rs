//! Amounts in requests. Faults that the text alone shows are noted when the body is read; those
//! that depend on the currency of an order, account or product are found once that is known.

use std::borrow::Cow;

use chassis::{
    Code, Problem,
    body::{Amount, Fields},
};
use proto::{Currency, Money, MoneyError};

/// A positive amount, as a request names it. Without a currency it is in that of the order, account
/// or product that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountRequest {
    text: String,
    currency: Option<Currency>,
}

/// What is wrong with an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountFault {
    code: Code,
    detail: Cow<'static, str>,
    /// Whether the currency is at fault rather than the number.
    is_currency: bool,
}

impl AmountRequest {
    /// Reads the required member `name`.
    pub fn read(fields: &mut Fields<'_>, name: &'static str) -> Option<Self> {
        let amount = fields.amount(name)?;
        Self::checked(amount).map_err(|fault| fault.note(fields, name)).ok()
    }

    /// Like [`AmountRequest::read`], for a member that may be absent: then `Some(None)`.
    pub fn read_optional(fields: &mut Fields<'_>, name: &'static str) -> Option<Option<Self>> {
        let is_absent = !fields.has(name);
        let amount = fields.optional_amount(name);
        if is_absent {
            return Some(None);
        }
        Self::checked(amount?).map_err(|fault| fault.note(fields, name)).ok().map(Some)
    }

    fn checked(Amount { text, currency }: Amount) -> Result<Self, AmountFault> {
        let currency = currency.map(|code| Currency::in_force(&code)).transpose();
        let currency = currency.map_err(|_| AmountFault {
            code: Code::UnknownCurrency,
            detail: "is not a currency of ISO 4217 in force".into(),
            is_currency: true,
        })?;
        let request = Self { text, currency };
        match request.in_currency(currency.unwrap_or(Currency::USD)) {
            // Other currencies have more decimals: this is judged once the currency is known.
            Err(AmountFault { code: Code::TooManyDecimals, .. }) if currency.is_none() => {}
            judged => drop(judged?),
        }
        Ok(request)
    }

    /// The currency that the request names.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    /// The amount in `currency`; a fault if the request names another one.
    pub fn in_currency(&self, currency: Currency) -> Result<Money, AmountFault> {
        if self.currency.is_some_and(|named| named != currency) {
            let detail = format!("has to be {currency}").into();
            return Err(AmountFault { code: Code::InvalidValue, detail, is_currency: true });
        }
        let (code, detail) = match Money::parse(&self.text, currency) {
            Ok(money) if money.is_positive() => return Ok(money),
            Ok(_) => (Code::AmountNotPositive, "has to be more than 0"),
            Err(MoneyError::TooManyDecimals) => {
                (Code::TooManyDecimals, "has more decimals than its currency")
            }
            Err(MoneyError::NotANumber) => (Code::InvalidValue, "is not an amount such as 59.98"),
            Err(MoneyError::Exponent) => (Code::InvalidValue, "is written with an exponent"),
            Err(MoneyError::TooLarge) => (Code::InvalidValue, "is more than 9999999.99"),
        };
        Err(AmountFault { code, detail: detail.into(), is_currency: false })
    }
}

impl From<Money> for AmountRequest {
    fn from(money: Money) -> Self {
        Self { text: money.amount_text(), currency: Some(money.currency()) }
    }
}

impl AmountFault {
    /// Notes the fault at the member `name`.
    pub fn note(self, fields: &Fields<'_>, name: &str) {
        if self.is_currency {
            fields.refuse_within(name, "currency", self.code, self.detail);
        } else {
            fields.refuse(name, self.code, self.detail);
        }
    }

    /// The problem of a request whose amount is at `pointer`.
    pub fn problem(self, pointer: &str) -> Problem {
        let pointer = if self.is_currency { format!("{pointer}/currency") } else { pointer.into() };
        let detail = format!("{}: {}", pointer.trim_start_matches('/'), self.detail);
        Problem::new(self.code, detail).at(pointer, self.code, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use chassis::body;

    use super::*;

    fn read(amount: &str) -> Result<AmountRequest, Problem> {
        let body = format!(r#"{{"price":{amount}}}"#);
        body::read(body.as_bytes(), |fields| AmountRequest::read(fields, "price"))
    }

    fn fault(problem: &Problem) -> (Code, &str) {
        (problem.code(), problem.errors()[0].pointer.as_str())
    }

    #[test]
    fn what_the_text_alone_shows_is_noted() {
        for (amount, code, pointer) in [
            (r#""007.00""#, Code::InvalidValue, "/price"),
            (r#""+1.00""#, Code::InvalidValue, "/price"),
            ("1e2", Code::InvalidValue, "/price"),
            ("10000000", Code::InvalidValue, "/price"),
            ("0", Code::AmountNotPositive, "/price"),
            ("-1", Code::AmountNotPositive, "/price"),
            (r#"{"amount":"1.000","currency":"EUR"}"#, Code::TooManyDecimals, "/price"),
            (r#"{"amount":"1","currency":"HRK"}"#, Code::UnknownCurrency, "/price/currency"),
            (r#"{"amount":"1","currency":"usd"}"#, Code::UnknownCurrency, "/price/currency"),
        ] {
            assert_eq!(fault(&read(amount).unwrap_err()), (code, pointer), "{amount}");
        }
    }

    #[test]
    fn a_bare_amount_is_judged_by_the_currency_that_it_is_for() {
        let (yen, dinar) = (Currency::parse("JPY").unwrap(), Currency::parse("KWD").unwrap());
        let bare = read("1.234").unwrap();
        assert_eq!(bare.in_currency(dinar).unwrap().to_string(), "1.234 KWD");
        let problem = bare.in_currency(yen).unwrap_err().problem("/price");
        assert_eq!(fault(&problem), (Code::TooManyDecimals, "/price"));

        let other = read(r#"{"amount":"5","currency":"KWD"}"#).unwrap().in_currency(yen);
        let problem = other.unwrap_err().problem("/price");
        assert_eq!(fault(&problem), (Code::InvalidValue, "/price/currency"));
    }
}
