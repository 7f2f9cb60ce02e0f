//! Refusals as problems.

use chassis::{Code, Problem};

use crate::domain::Refusal;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let at_amount = |code| Self::new(code, detail.clone()).at("/amount", code, detail.clone());
        match refusal {
            Refusal::UnknownOrder
            | Refusal::UnknownPayment
            | Refusal::UnknownAccount
            | Refusal::NeverHeld => Self::not_found(detail),
            Refusal::NothingCaptured | Refusal::NotRefundable { .. } | Refusal::RefundUnderWay => {
                Self::new(Code::NotRefundable, detail)
            }
            Refusal::AlreadyPaid => Self::new(Code::AlreadyPaid, detail),
            Refusal::Cancelled
            | Refusal::Declined
            | Refusal::OtherDeclined
            | Refusal::OrderEnded => Self::new(Code::NotPayable, detail),
            Refusal::AccountExists => Self::new(Code::AccountExists, detail),
            Refusal::InsufficientFunds { .. } => Self::new(Code::InsufficientFunds, detail),
            Refusal::HoldExists { .. } => Self::new(Code::HoldExists, detail),
            Refusal::HoldCaptured => Self::new(Code::HoldCaptured, detail),
            Refusal::NotPositive => at_amount(Code::AmountNotPositive),
            Refusal::OtherCurrency { .. } => {
                let (code, at) = (Code::InvalidValue, "/amount/currency");
                Self::new(code, detail.clone()).at(at, code, detail)
            }
            Refusal::OtherAmount { .. } | Refusal::TooMuch => at_amount(Code::InvalidValue),
        }
    }
}
