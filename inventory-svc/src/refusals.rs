//! Refusals as problems.

use chassis::{Code, Problem};
use proto::WarehouseId;

use crate::domain::Refusal;

/// Why an adjustment of stock by `delta` pieces is refused.
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

/// The answer for a SKU that no product has, or that is no SKU at all.
pub fn no_product(sku: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no product {sku}"))
}

/// The refusal of a body that names an unknown warehouse.
pub fn no_such_warehouse(id: &WarehouseId) -> Problem {
    let wrong = format!("there is no warehouse {id}");
    Problem::new(Code::InvalidValue, wrong.clone()).at("/warehouse", Code::InvalidValue, wrong)
}
