//! Refusals as problems that clients can act on.

use chassis::{Code, Problem, problem::FAULTS_MAX};
use serde_json::json;

use crate::domain::Refusal;

/// The answer for an id that no order has, or that is no order's id at all.
pub fn no_order(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no order {id}"))
}

/// Why a request is refused. `names` has the JSON member by which each line named its product.
pub fn problem(refusal: &Refusal, names: &[&'static str]) -> Problem {
    let product = |line: usize| format!("/items/{line}/{}", names.get(line).unwrap_or(&"sku"));
    match refusal {
        Refusal::UnknownProduct(lines) => {
            let names: Vec<_> = told(lines).map(|(_, sku)| sku.as_str()).collect();
            let problem =
                Problem::new(Code::UnknownProduct, format!("unknown: {}", names.join(", ")));
            lines.iter().fold(problem, |problem, (line, sku)| {
                let detail = format!("{sku} is not in the catalogue");
                problem.at(product(*line), Code::UnknownProduct, detail)
            })
        }
        Refusal::OtherCurrency(lines) => {
            let problem = Problem::new(Code::InvalidValue, "a product is sold in another currency");
            lines.iter().fold(problem, |problem, (line, currency)| {
                problem.at(product(*line), Code::InvalidValue, format!("is sold in {currency}"))
            })
        }
        Refusal::PriceChanged(lines) => {
            let each = |(_, it): &(usize, crate::domain::PriceChange)| {
                format!("{} costs {}, not {}", it.sku, it.price, it.seen)
            };
            let details: Vec<_> = told(lines).map(each).collect();
            let problem = Problem::new(Code::PriceChanged, details.join("; "));
            let problem = lines.iter().fold(problem, |problem, (line, it)| {
                let pointer = format!("/items/{line}/unit_price");
                problem.at(pointer, Code::PriceChanged, format!("is {} now", it.price))
            });
            let prices: Vec<_> = told(lines)
                .map(|(_, it)| json!({"sku": it.sku, "unit_price": it.seen, "price": it.price}))
                .collect();
            problem.with("prices", prices)
        }
        Refusal::TooMuch => {
            let detail = "the order comes to more than 9999999.99";
            Problem::new(Code::InvalidValue, detail).at("/items", Code::InvalidValue, detail)
        }
        Refusal::NotAmendable(_) | Refusal::AmendedTooOften => {
            Problem::new(Code::NotAmendable, refusal.to_string())
        }
        Refusal::NotCancellable(_) => Problem::new(Code::NotCancellable, refusal.to_string()),
        Refusal::NotShippable(_) => Problem::new(Code::NotShippable, refusal.to_string()),
        Refusal::InsufficientInventory(lines) => {
            let details: Vec<_> = told(lines).map(|(_, it)| it.to_string()).collect();
            let detail = format!("insufficient inventory: {}", details.join("; "));
            let problem = Problem::new(Code::InsufficientInventory, detail);
            lines.iter().fold(problem, |problem, (line, it)| {
                let pointer = format!("/items/{line}/quantity");
                let detail = format!("{} available", it.available);
                problem.at(pointer, Code::InsufficientInventory, detail)
            })
        }
    }
}

/// As many lines as a problem lists ([`FAULTS_MAX`]): the others are only counted.
fn told<T>(lines: &[T]) -> impl Iterator<Item = &T> {
    lines.iter().take(FAULTS_MAX)
}
