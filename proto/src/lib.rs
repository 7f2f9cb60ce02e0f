//! The published language: what the services of the shop say to one another.
//!
//! The `.proto` files under `shop/` are the contract; [`orders`], [`payments`], [`stock`],
//! [`notifications`] and [`catalogue`] hold the types made from them, one message for each event.
//! [`Event`] gathers all events and knows the number, topic and name of each. Ids and [`Money`] are
//! here because the services have to agree on them, and so are the [`limits`] of texts, how an enum
//! has its [`words!`], the table of the HTTP [`api`], and the roles of those who call it; nothing
//! else is shared.

mod amount;
pub mod api;
pub mod card_number;
pub mod cloud_events;
mod event;
mod generated;
mod ids;
mod json;
mod roles;
mod schema;
mod sealed;

pub mod limits;
pub mod trace_context;
#[doc(hidden)]
pub mod words;

pub use amount::{Currency, Money, MoneyError, SumError, UnknownCurrency, WireMoneyError};
pub use event::{DecodeError, EVENT_TYPES, Event, EventType, PLANNED, Payload, source, topic};
pub use generated::{
    catalogue::v1 as catalogue, money::v1 as money, notifications::v1 as notifications,
    orders::v1 as orders, payments::v1 as payments, stock::v1 as stock,
};
pub use ids::{
    CustomerId, EventId, IdError, NotificationId, OrderId, PaymentId, ReservationId, Sku,
    WarehouseId, WebhookId,
};
pub use roles::{Access, Role, Roles, UnknownRole};
pub use sealed::{NotOpened, SealKey, SealKeyError, SealKeyRing};
