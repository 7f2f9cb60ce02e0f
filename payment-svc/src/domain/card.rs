//! Cards, as the providers that charge them know them.

use std::{fmt, sync::Arc};

use proto::words;

/// A card as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Card {
    pub token: Token,
    pub provider: PaymentProvider,
    pub face: Option<CardDisplay>,
}

/// What may be shown of a card to people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CardDisplay {
    pub brand: Arc<str>,
    pub last4: Arc<str>,
}

words! {
    /// A payment service provider that a card may be charged through.
    pub enum PaymentProvider {
        Simulator = "simulator",
        Stripe = "stripe",
    }
}

/// A provider's name for a card: whoever has it can charge it, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// The token of this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Stands for a token that cannot be read: no card has it.
    pub fn unreadable() -> Self {
        Self::new("")
    }

    /// The text, for the provider and to be sealed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
