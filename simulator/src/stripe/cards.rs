//! Stripe's test payment methods, and what becomes of a charge of each.

use crate::{book::Charge, tokens::Decline};

/// A test payment method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TestMethod {
    /// Its name behind `pm_card_`.
    name: &'static str,
    pub(super) brand: &'static str,
    pub(super) last4: &'static str,
    error: Option<CardError>,
}

/// Why a card is declined, in Stripe's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CardError {
    pub(super) code: &'static str,
    pub(super) decline_code: Option<&'static str>,
    pub(super) message: &'static str,
}

const METHODS: [TestMethod; 10] = [
    good("visa", "visa", "4242"),
    good("mastercard", "mastercard", "4444"),
    good("amex", "amex", "8431"),
    bad("chargeDeclined", "0002", "card_declined", Some("generic_decline"), DECLINED),
    bad(
        "chargeDeclinedInsufficientFunds",
        "9995",
        "card_declined",
        Some("insufficient_funds"),
        "Your card has insufficient funds.",
    ),
    bad("chargeDeclinedLostCard", "9987", "card_declined", Some("lost_card"), DECLINED),
    bad(
        "chargeDeclinedExpiredCard",
        "0069",
        "expired_card",
        Some("expired_card"),
        "Your card has expired.",
    ),
    bad(
        "chargeDeclinedIncorrectCvc",
        "0127",
        "incorrect_cvc",
        Some("incorrect_cvc"),
        "Your card's security code is incorrect.",
    ),
    bad(
        "chargeDeclinedProcessingError",
        "0119",
        "processing_error",
        None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    bad(
        "authenticationRequired",
        "3184",
        "authentication_required",
        Some("authentication_required"),
        "Your card was declined. This transaction requires authentication.",
    ),
];
const DECLINED: &str = "Your card was declined.";

const fn good(name: &'static str, brand: &'static str, last4: &'static str) -> TestMethod {
    TestMethod { name, brand, last4, error: None }
}

const fn bad(
    name: &'static str,
    last4: &'static str,
    code: &'static str,
    decline_code: Option<&'static str>,
    message: &'static str,
) -> TestMethod {
    let error = Some(CardError { code, decline_code, message });
    TestMethod { name, brand: "visa", last4, error }
}

impl TestMethod {
    /// The method of a token: `pm_card_visa`; `pm_card_visa_chargeDeclined` is
    /// `pm_card_chargeDeclined`.
    pub(super) fn parse(token: &str) -> Option<Self> {
        let name = token.strip_prefix("pm_card_")?;
        let name = name.strip_prefix("visa_").unwrap_or(name);
        METHODS.into_iter().find(|method| method.name == name)
    }

    /// The method of a charge.
    pub(super) fn of(charge: &Charge) -> Option<Self> {
        Self::parse(&charge.token)
    }

    /// Why a charge of it is declined, as the ledger says it.
    pub(super) fn decline(self) -> Option<Decline> {
        let error = self.error?;
        Some(match error.decline_code {
            Some("insufficient_funds") => Decline::InsufficientFunds,
            Some("expired_card") => Decline::ExpiredCard,
            _ => Decline::CardDeclined,
        })
    }

    pub(super) fn error(self) -> Option<CardError> {
        self.error
    }
}
