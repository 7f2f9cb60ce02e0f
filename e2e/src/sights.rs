//! What a shop shows: an order, a shelf, an account.

use serde_json::Value;

/// An order that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    pub id: String,
    /// The order as the answer showed it.
    pub body: Value,
}

/// The stock of a product, over all warehouses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelf {
    pub on_hand: i64,
    pub reserved: i64,
    pub sold: i64,
}

/// The amounts of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    pub balance: String,
    pub held: String,
    pub available: String,
}

impl PlacedOrder {
    /// The order in the answer to `POST /v1/orders`.
    pub fn of(body: Value) -> Self {
        Self { id: body["id"].as_str().unwrap().to_owned(), body }
    }

    /// The order's path, or one below it.
    pub fn path(&self, below: &str) -> String {
        format!("/v1/orders/{}{below}", self.id)
    }
}

impl Shelf {
    pub(crate) fn of(stock: &Value) -> Self {
        let number = |member: &str| stock[member].as_i64().unwrap();
        let (on_hand, reserved, sold) = (number("on_hand"), number("reserved"), number("sold"));
        assert_eq!(number("available"), on_hand - reserved, "{stock}");
        Self { on_hand, reserved, sold }
    }
}
