//! What an order is, what it may become and how far it has come: every rule of this service,
//! without I/O.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod decision;
pub mod fold;
pub mod order;
pub mod placing;
pub mod saga;

pub use decision::{Announcement, Decision, Event, cancel, decide};
pub use fold::{Conclusion, HistoryEvent, fold};
pub use order::{
    By, Cancellation, Capture, Compensation, CompensationKind, Decline, DeclineCode, Line,
    MailResult, Method, Order, Payment, Phase, Reason, Rejection, Reservation, Shortage, Status,
    Stock,
};
pub use placing::{Catalogue, LineRequest, OrderRequest, PriceChange, Product, Refusal, place};
pub use saga::{ExpectedStep, Saga, SagaStatus, Step, StepName, StepState};
