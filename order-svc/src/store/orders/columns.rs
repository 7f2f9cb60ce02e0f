//! How the values of an order are stored in its columns.

use std::sync::Arc;

use proto::Sku;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use time::Duration;

use crate::domain::{CompensationKind, Line, Order};

pub(super) fn stored_revision(revision: u32) -> i32 {
    i32::try_from(revision).expect("nobody amends an order two billion times")
}

pub(super) fn stored_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.whole_seconds()).expect("nobody has sixty years to pay")
}

pub(super) fn compensation_word(how: CompensationKind) -> &'static str {
    match how {
        CompensationKind::Voided => "voided",
        CompensationKind::Refunded(_) => "refunded",
    }
}

pub(super) fn refunded(how: CompensationKind) -> Option<Decimal> {
    match how {
        CompensationKind::Voided => None,
        CompensationKind::Refunded(amount) => Some(amount.amount()),
    }
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

pub(super) fn lines_row(order: &Order) -> Json<Vec<LineRow>> {
    let row = |line: &Line| LineRow {
        sku: line.sku.clone(),
        name: Arc::clone(&line.name),
        quantity: line.quantity,
        unit_price: line.unit_price.amount(),
    };
    Json(order.lines.iter().map(row).collect())
}
