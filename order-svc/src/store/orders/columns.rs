//! How the values of an order are stored in its columns.

use std::sync::Arc;

use proto::Sku;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use time::Duration;

use crate::domain::{Line, Revision};

pub(super) fn stored_revision(revision: u32) -> i32 {
    i32::try_from(revision).expect("nobody amends an order two billion times")
}

pub(super) fn stored_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.whole_seconds()).expect("nobody has sixty years to pay")
}

/// A line as it is stored: amounts are text, in the order's currency.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LineRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sku: Option<Sku>,
    pub(super) name: Arc<str>,
    pub(super) quantity: u32,
    pub(super) unit_price: Decimal,
}

pub(super) fn lines_row(revision: &Revision) -> Json<Vec<LineRow>> {
    let row = |line: &Line| LineRow {
        sku: line.sku.clone(),
        name: Arc::clone(&line.name),
        quantity: line.quantity,
        unit_price: line.unit_price.amount(),
    };
    Json(revision.lines.iter().map(row).collect())
}
