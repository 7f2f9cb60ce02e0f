//! What an order is, what it may become and how far it has come: every rule of this service,
//! without I/O.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod card_number;
pub mod decision;
pub mod fold;
pub mod order;
pub mod placing;
pub mod saga;

pub use decision::{Announcement, Decision, Event, cancel, decide};
pub use fold::{Conclusion, HistoryEvent, fold};
pub use order::{
    By, Cancellation, Capture, Decline, DeclineCode, Line, Method, MailResult, Order, Payment,
    Reason, Rejection, Reservation, Shortage, Phase, Status, Stock, CompensationKind, Compensation,
};
pub use placing::{Catalogue, PriceChange, Product, Refusal, Request, LineRequest, place};
pub use saga::{ExpectedStep, Saga, SagaStatus, Step, StepName, StepState};
