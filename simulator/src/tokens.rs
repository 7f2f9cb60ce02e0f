//! What each test token does. Card numbers are not known here: tokens stand for them.

use serde::{Deserialize, Serialize};

/// Why a charge is declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decline {
    CardDeclined,
    InsufficientFunds,
    ExpiredCard,
}

impl Decline {
    /// The reason in words.
    pub fn detail(self) -> &'static str {
        match self {
            Self::CardDeclined => "the card was declined",
            Self::InsufficientFunds => "the card has insufficient funds",
            Self::ExpiredCard => "the card has expired",
        }
    }
}

/// How the answer to a charge reaches the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    AtOnce,
    /// The charge takes its time.
    Slowly,
    /// The charge is recorded, but the first answer never arrives.
    Lost,
}

/// The card behind a token, as far as it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Card {
    pub brand: &'static str,
    pub last4: &'static str,
}

/// What becomes of a charge with `token`: declined for a reason, or captured.
pub(crate) fn declined(token: &str) -> Option<Decline> {
    match token {
        "tok_visa" | "tok_lost" | "tok_slow" => None,
        "tok_insufficient" => Some(Decline::InsufficientFunds),
        "tok_expired" => Some(Decline::ExpiredCard),
        // A provider also declines a token that it never gave out.
        _ => Some(Decline::CardDeclined),
    }
}

pub(crate) fn manner(token: &str) -> Manner {
    match token {
        "tok_slow" => Manner::Slowly,
        "tok_lost" => Manner::Lost,
        _ => Manner::AtOnce,
    }
}

pub(crate) fn card(token: &str) -> Option<Card> {
    let last4 = match token {
        "tok_visa" | "tok_lost" | "tok_slow" => "4242",
        "tok_declined" => "0002",
        "tok_insufficient" => "9995",
        "tok_expired" => "0069",
        _ => return None,
    };
    Some(Card { brand: "visa", last4 })
}
