//! Refusals as problems.

use chassis::{Code, Problem, problem::FAULTS_MAX};
use proto::{OrderId, ReservationId, Sku, WarehouseId};

use crate::domain::{ManualRefusal, Refusal, Shortage, SkuQuantity};

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

/// The answer for an id that no reservation has, or that is no reservation's id at all.
pub fn no_reservation(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no reservation {id}"))
}

/// Why nobody changes the reservation of an order.
pub fn of_order(id: ReservationId, order: OrderId) -> Problem {
    let detail = format!("the reservation {id} is that of order {order}, and ends with it");
    Problem::new(Code::NotAmendable, detail)
}

/// Why a reservation that wants `items` is not made or not changed.
pub fn manual(refusal: &ManualRefusal, items: &[SkuQuantity]) -> Problem {
    match refusal {
        ManualRefusal::Over => Problem::new(Code::NotAmendable, "the reservation is over"),
        ManualRefusal::Insufficient(missing) => {
            let each = |it: &Shortage| {
                format!("{} of {} wanted, {} available", it.wanted, it.sku, it.available)
            };
            let details: Vec<_> = missing.iter().take(FAULTS_MAX).map(each).collect();
            let detail = format!("insufficient inventory: {}", details.join("; "));
            let problem = Problem::new(Code::InsufficientInventory, detail);
            missing.iter().fold(problem, |problem, short| {
                let item = items.iter().position(|item| item.sku == short.sku);
                let pointer = format!("/items/{}/quantity", item.unwrap_or_default());
                let detail = format!("{} available", short.available);
                problem.at(pointer, Code::InsufficientInventory, detail)
            })
        }
    }
}

/// The refusal of items whose products are not there: each with its place among the items.
pub fn unknown_products(unknown: &[(usize, &Sku)]) -> Problem {
    let names: Vec<_> = unknown.iter().take(FAULTS_MAX).map(|(_, sku)| sku.as_str()).collect();
    let problem = Problem::new(Code::UnknownProduct, format!("unknown: {}", names.join(", ")));
    unknown.iter().fold(problem, |problem, (item, sku)| {
        let detail = format!("there is no product {sku}");
        problem.at(format!("/items/{item}/sku"), Code::UnknownProduct, detail)
    })
}
