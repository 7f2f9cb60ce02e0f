//! The order service.
//!
//! ```text
//! Owns   the life of an order, from placed to confirmed or cancelled.
//! Hears  StockReserved StockRejected StockReleased ReservationExpired PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded NotificationSent NotificationFailed ProductChanged
//! Says   OrderPlaced OrderAwaitingPayment OrderConfirmed OrderCancelled
//! Keeps  An order ends once: confirmed only if stock is held and its total is paid.
//! ```

pub mod domain;
pub mod store;
