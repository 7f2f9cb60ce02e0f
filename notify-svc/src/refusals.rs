//! Refusals as problems.

use chassis::{Code, Problem};

use crate::domain::Refusal;

/// Why a request is refused.
pub fn problem(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::UnknownOrder(_) => Problem::new(Code::InvalidValue, detail.clone()).at(
            "/order_id",
            Code::InvalidValue,
            detail,
        ),
    }
}
