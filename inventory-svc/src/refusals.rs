//! Refusals as problems.

use chassis::{Code, Problem};
use proto::WarehouseId;

use crate::domain::Refusal;

/// Why pieces were neither received nor written off.
pub fn problem(refusal: Refusal, delta: i64) -> Problem {
    let detail = format!("{delta} is too much: {refusal}");
    match refusal {
        Refusal::StockReserved { .. } => Problem::new(Code::StockReserved, detail),
        Refusal::TooMuch => Problem::new(Code::InvalidValue, detail.clone()).at(
            "/delta",
            Code::InvalidValue,
            detail,
        ),
    }
}

/// No product has this SKU, or can have it.
pub fn no_product(sku: impl std::fmt::Display) -> Problem {
    not_found(format!("there is no product {sku}"))
}

/// A body names a warehouse that there is not.
pub fn no_such_warehouse(id: &WarehouseId) -> Problem {
    let wrong = format!("there is no warehouse {id}");
    Problem::new(Code::InvalidValue, wrong.clone()).at("/warehouse", Code::InvalidValue, wrong)
}

/// What a path names is not there.
pub fn not_found(detail: String) -> Problem {
    Problem::new(Code::NotFound, detail)
}
