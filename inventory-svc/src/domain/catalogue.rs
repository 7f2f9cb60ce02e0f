//! What is for sale, and which changes of it are announced.

use proto::{Money, Sku, limits::QUANTITY_MAX};

/// Below this many pieces every change is announced: one piece decides whether an order fits.
const EVERY_PIECE_BELOW: i64 = 100;

/// Above that, a change by this part of the quantity announced last.
const PART_THAT_MATTERS: i64 = 10;

/// One product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub sku: Sku,
    pub name: String,
    pub price: Money,
    /// Counts the events announced about the product.
    pub version: i64,
    /// How many pieces were available according to the last announcement.
    pub said_available: i64,
}

impl Product {
    /// A product just listed, of which nothing has been announced yet.
    pub fn listed(sku: Sku, name: String, price: Money) -> Self {
        Self { sku, name, price, version: 0, said_available: 0 }
    }
}

/// Whether `available` pieces are to be announced when `said` were announced last.
///
/// A SKU that sells thousands a second would otherwise flood its topic, and a large quantity need
/// not be known exactly: an order that no longer fits is rejected later.
pub fn matters(said: i64, available: i64) -> bool {
    let moved = available.saturating_sub(said).saturating_abs();
    // order-svc refuses an order that fits until it hears of the pieces.
    let refuses = said < available && said < i64::from(QUANTITY_MAX);
    moved > 0
        && (refuses
            || available < EVERY_PIECE_BELOW
            || moved.saturating_mul(PART_THAT_MATTERS) >= said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pieces_are_said_one_by_one_many_by_tenths_and_what_fits_again_at_once() {
        let cases = [
            (0, 0, false),
            (0, 1, true),
            (99, 98, true),
            (100, 99, true),
            (99, 100, true),
            (1_000, 901, false),
            (1_000, 900, true),
            (1_000, 1_001, true),
            (9_999, 10_000, true),
            (10_000, 10_999, false),
            (10_000, 11_000, true),
            (50, 5_000, true),
        ];
        for (said, available, news) in cases {
            assert_eq!(matters(said, available), news, "{said} -> {available}");
        }
    }
}
