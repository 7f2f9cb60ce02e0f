//! Customers, products and orders of tests: a test names only what matters to it.

use serde_json::{Value, json};

/// A product of a test's own.
#[derive(Clone, Debug)]
pub struct Product {
    pub sku: String,
}

/// A customer of a test's own.
#[derive(Clone, Debug)]
pub struct Customer {
    pub id: String,
}

impl Customer {
    /// An order of this many pieces. It is deferred unless the test adds a payment.
    pub fn wants(&self, pieces: u32, product: &Product) -> AnOrder {
        let body = json!({ "customer_id": self.id,
            "items": [{ "sku": product.sku, "quantity": pieces }] });
        AnOrder { body }
    }
}

/// The body of `POST /v1/orders`.
#[derive(Clone, Debug)]
#[must_use = "it has still to be placed"]
pub struct AnOrder {
    pub body: Value,
}

impl AnOrder {
    /// Pays from the customer's account.
    pub fn from_the_account(self) -> Self {
        self.with("payment", json!({ "method": "wallet" }))
    }

    /// Pays with a card.
    pub fn by_card(self, token: &str) -> Self {
        self.with("payment", json!({ "method": "card", "token": token }))
    }

    /// Adds pieces of another product.
    pub fn and(mut self, pieces: u32, product: &Product) -> Self {
        let line = json!({ "sku": product.sku, "quantity": pieces });
        self.body["items"].as_array_mut().unwrap().push(line);
        self
    }

    /// Sets another member of the body.
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.body[member] = value;
        self
    }
}
