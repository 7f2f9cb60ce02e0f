//! A message: an event in its envelope, as Kafka brought it.

use std::sync::Arc;

use uuid::Uuid;

/// A W3C trace context in 25 bytes: trace id (16), span id (8), flags (1).
pub type Trace = [u8; 25];

/// An event in its envelope. What has no usable envelope never becomes one: it is parked.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// The Kafka key: the id of what the event is about.
    pub key: Option<Vec<u8>>,
    /// `ce_id`.
    pub event_id: Uuid,
    /// `ce_type`, such as `shop.orders.v1.OrderPlaced`.
    pub event_type: String,
    /// `ce_source`, such as `/shop/order-svc`.
    pub source: String,
    /// `ce_version`: gapless from 1 within source and key.
    pub version: i64,
    /// `ce_time` as it was sent, RFC 3339.
    pub time: String,
    pub trace: Option<Trace>,
    pub payload: Vec<u8>,
}

/// Why a message cannot be processed, however often it is tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Park {
    /// Groups what failed alike: `undecodable`, `no_envelope`, `out_of_range`,
    /// `refused_by_database`, …
    pub class: &'static str,
    /// In words, for the operator.
    pub reason: String,
}

impl Park {
    /// A message whose bytes do not say what its envelope promises.
    pub fn undecodable(reason: impl Into<String>) -> Self {
        Self { class: "undecodable", reason: reason.into() }
    }
}
