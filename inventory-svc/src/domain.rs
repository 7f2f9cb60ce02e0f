//! What stock is and what a reservation may become: every rule of this service, without I/O.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod catalogue;
pub mod decision;
pub mod manual;
pub mod stock;

pub use catalogue::Product;
pub use decision::{Announcement, Decision, Event, Reservation, decide};
pub use manual::{ManualDecision, ManualPhase, ManualRefusal, ManualReservation};
pub use stock::{
    Allocation, Motion, Pieces, Refusal, SPLIT_MAX, Shelf, Shortage, SkuQuantity, Stock, Warehouse,
};
