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
pub mod refusal;
pub mod saga;

pub use decision::{Announcement, Decision, Event, cancel, decide, deliver, ship};
pub use fold::{Conclusion, HistoryEvent, fold};
pub use order::{
    AmendmentCause, By, Cancellation, Capture, Compensation, CompensationKind, Decline,
    DeclineCode, Line, MailResult, Method, Order, Payment, Phase, Reason, Rejection, Reservation,
    Revision, Shipment, Shortage, Status, Stock,
};
pub use placing::{Catalogue, LineRequest, OrderRequest, Product, amend, place};
pub use refusal::{PriceChange, Refusal};
pub use saga::{ExpectedStep, SAGA_EXPECTATIONS, Saga, SagaStatus, Step, StepName, StepState};
