//! What customers are told about their orders: every rule of this service, without I/O.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

pub mod channel;
pub mod contact;
pub mod decision;
pub mod notice;
pub mod refusal;
pub mod webhook;

pub use channel::{Channel, Language};
pub use contact::Contact;
pub use decision::{Announcement, Decision, Event, decide};
pub use notice::{DeliveryStatus, Failure, News, Notice, NotificationState, Template};
pub use refusal::Refusal;
pub use webhook::{
    DisabledReason, EventFilter, WebhookDeliveryStatus, WebhookSettings, WebhookStatus,
};
