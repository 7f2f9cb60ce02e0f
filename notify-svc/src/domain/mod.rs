//! What customers are told about their orders: every rule of this service, without I/O.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod decision;
pub mod notice;

pub use decision::{Announcement, Decision, Event, decide};
pub use notice::{Failure, News, Notice, DeliveryStatus, Template, NotificationState};
