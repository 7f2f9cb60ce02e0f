//! Payment service providers behind one trait, and who charges which card.
//!
//! A provider keeps the keys of requests for a while only, so a repeated request is not always safe.
//! How long it is, and how to find out what became of an older one, each provider knows itself:
//! see [`Provider::charge_of`].

pub mod stripe;

mod simulator;

use std::time::Duration;

use proto::{card_number, limits};

pub use self::{simulator::Simulator, stripe::Stripe};
use crate::domain::{Call, ChargeOutcome, PaymentProvider};

/// Why the provider did not carry out a call, or did not answer it.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nothing is known: not asked, not answered, or not understood. The provider has to be asked
    /// again.
    #[error("the provider gave no answer: {0}")]
    Unknown(String),
    /// The provider will never do it, however often it is asked.
    #[error("the provider refuses: {0}")]
    Refused(String),
}

/// What the provider did or told, or why there is nothing of it.
pub type ProviderResult<T> = Result<T, ProviderError>;

/// A provider, which moves money outside of the shop. `key` is the operation's idempotency key:
/// asked twice, the operation is done once and answered twice.
pub trait Provider: Send + Sync + 'static {
    /// Takes money from a card.
    fn charge(
        &self,
        key: &str,
        call: &Call,
        token: &str,
    ) -> impl Future<Output = ProviderResult<ChargeOutcome>> + Send;

    /// What became of a charge that may have been asked for before, `age` after it was begun. `None`
    /// says that asking for it, perhaps again, takes the money once: the provider never got the
    /// request, or still knows its key.
    fn charge_of(
        &self,
        key: &str,
        call: &Call,
        age: Duration,
    ) -> impl Future<Output = ProviderResult<Option<ChargeOutcome>>> + Send;

    /// Gives money of the charge `reference` back to its card.
    fn refund(
        &self,
        key: &str,
        call: &Call,
        reference: &str,
    ) -> impl Future<Output = ProviderResult<()>> + Send;

    /// Whether a refund of the charge `reference` that may have been asked for before has been
    /// carried out.
    fn refund_of(
        &self,
        key: &str,
        call: &Call,
        reference: &str,
    ) -> impl Future<Output = ProviderResult<bool>> + Send;
}

/// Which provider a new card is charged through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardRouting {
    /// Whether this service has a key for Stripe.
    pub stripe: bool,
}

impl CardRouting {
    /// Whose token it is, by its form. Without a key, Stripe's tokens are as unknown as any other:
    /// the simulator declines them.
    pub fn provider_of(self, token: &str) -> PaymentProvider {
        if self.stripe && stripe::is_payment_method(token) {
            PaymentProvider::Stripe
        } else {
            PaymentProvider::Simulator
        }
    }
}

/// All providers: each call goes to the one that its payment names.
#[derive(Clone, Debug)]
pub struct Providers {
    pub simulator: Simulator,
    pub stripe: Option<Stripe>,
}

impl Providers {
    /// Which provider a new card is charged through.
    pub fn routing(&self) -> CardRouting {
        CardRouting { stripe: self.stripe.is_some() }
    }

    /// Calls outlive the key with which they were begun: without one they wait for the next.
    fn stripe(&self) -> ProviderResult<&Stripe> {
        let no_key = || ProviderError::Unknown("there is no key for Stripe".to_owned());
        self.stripe.as_ref().ok_or_else(no_key)
    }
}

impl Provider for Providers {
    async fn charge(&self, key: &str, call: &Call, token: &str) -> ProviderResult<ChargeOutcome> {
        match call.provider {
            PaymentProvider::Simulator => self.simulator.charge(key, call, token).await,
            PaymentProvider::Stripe => self.stripe()?.charge(key, call, token).await,
        }
    }

    async fn charge_of(
        &self,
        key: &str,
        call: &Call,
        age: Duration,
    ) -> ProviderResult<Option<ChargeOutcome>> {
        match call.provider {
            PaymentProvider::Simulator => self.simulator.charge_of(key, call, age).await,
            PaymentProvider::Stripe => self.stripe()?.charge_of(key, call, age).await,
        }
    }

    async fn refund(&self, key: &str, call: &Call, reference: &str) -> ProviderResult<()> {
        match call.provider {
            PaymentProvider::Simulator => self.simulator.refund(key, call, reference).await,
            PaymentProvider::Stripe => self.stripe()?.refund(key, call, reference).await,
        }
    }

    async fn refund_of(&self, key: &str, call: &Call, reference: &str) -> ProviderResult<bool> {
        match call.provider {
            PaymentProvider::Simulator => self.simulator.refund_of(key, call, reference).await,
            PaymentProvider::Stripe => self.stripe()?.refund_of(key, call, reference).await,
        }
    }
}

/// A text of the provider's, cut to what the database can store and the topic can carry. It may
/// repeat what a customer typed, and card numbers go no further.
fn brief(text: &str) -> String {
    if card_number::is_in(text) {
        return "(what the provider says is withheld: a card number may be in it)".to_owned();
    }
    text.chars().filter(|c| *c != '\0').take(limits::TEXT_CHARS_MAX).collect()
}

/// Makes an error of the client unknown, without the URL: it may hold what must not be logged.
fn unknown(error: reqwest::Error) -> ProviderError {
    ProviderError::Unknown(format!("{:#}", anyhow::Error::new(error.without_url())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_is_cut_to_what_can_be_kept() {
        let long = "é\0".repeat(limits::TEXT_CHARS_MAX + 1);

        assert_eq!(brief(&long), "é".repeat(limits::TEXT_CHARS_MAX));
        assert!(!brief("No such PaymentMethod: 'pm_5555555555554444'").contains("5555"));
    }

    #[test]
    fn a_card_goes_to_the_provider_whose_token_it_has() {
        let (on, off) = (CardRouting { stripe: true }, CardRouting::default());
        for (token, provider) in [
            ("pm_card_visa", PaymentProvider::Stripe),
            ("pm_1OtZ2eLkdIwHu7ixJ2bcFQab", PaymentProvider::Stripe),
            ("pm_", PaymentProvider::Simulator),
            ("pm_a/../b", PaymentProvider::Simulator),
            ("pm_é", PaymentProvider::Simulator),
            ("tok_visa", PaymentProvider::Simulator),
            ("", PaymentProvider::Simulator),
        ] {
            assert_eq!(on.provider_of(token), provider, "{token}");
            assert_eq!(off.provider_of(token), PaymentProvider::Simulator, "{token}");
        }
    }
}
