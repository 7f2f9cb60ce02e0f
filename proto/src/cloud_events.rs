//! Names of a message's headers: CloudEvents 1.0 in Kafka's binary mode, and three of our own.

/// The event's id: a `UUIDv7`, by which a repeated message is recognised.
pub const ID: &str = "ce_id";
/// Who says the event, such as `/shop/order-svc`.
pub const SOURCE: &str = "ce_source";
/// The version of CloudEvents, always `1.0`.
pub const SPECVERSION: &str = "ce_specversion";
/// The event's type, such as `shop.orders.v1.OrderPlaced`.
pub const TYPE: &str = "ce_type";
/// What the event is about: the message's key.
pub const SUBJECT: &str = "ce_subject";
/// When the event was written.
pub const TIME: &str = "ce_time";
/// The aggregate's count of the events said about it; ours, not of CloudEvents.
pub const VERSION: &str = "ce_version";
/// The source database's count of restores; ours, not of CloudEvents.
pub const INCARNATION: &str = "ce_incarnation";
/// The trace that the event belongs to, as W3C Trace Context writes it.
pub const TRACEPARENT: &str = "traceparent";
