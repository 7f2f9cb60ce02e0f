//! Why a person's request is refused.

use proto::{Currency, Money, Sku};

use super::{Shortage, Status};

/// Why a request is refused: nothing has changed. Numbers are the indexes of the lines concerned,
/// from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("unknown product")]
    UnknownProduct(Vec<(usize, Sku)>),
    #[error("the product is sold in another currency")]
    OtherCurrency(Vec<(usize, Currency)>),
    /// With the price of the catalogue and the one that was seen.
    #[error("the price has changed")]
    PriceChanged(Vec<(usize, PriceChange)>),
    #[error("the order comes to more than any payment can be")]
    TooMuch,
    #[error("insufficient inventory")]
    InsufficientInventory(Vec<(usize, Shortage)>),
    #[error("an order that is {} cannot be amended", .0.as_str())]
    NotAmendable(Status),
    #[error("the order has been amended too often")]
    AmendedTooOften,
    #[error("an order that is {} cannot be cancelled", .0.as_str())]
    NotCancellable(Status),
    #[error("an order that is {} cannot be shipped or delivered", .0.as_str())]
    NotShippable(Status),
}

/// A line whose price is not the one that the customer saw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PriceChange {
    pub sku: Sku,
    pub seen: Money,
    pub price: Money,
}

impl Refusal {
    /// Whether the lines are refused, by a catalogue that may be behind; not the order as such.
    pub fn is_of_lines(&self) -> bool {
        match self {
            Self::UnknownProduct(_)
            | Self::OtherCurrency(_)
            | Self::PriceChanged(_)
            | Self::TooMuch
            | Self::InsufficientInventory(_) => true,
            Self::NotAmendable(_)
            | Self::AmendedTooOften
            | Self::NotCancellable(_)
            | Self::NotShippable(_) => false,
        }
    }
}
