//! What the customer of an order has been told, and what became of each notification.

use proto::{NotificationId, words};

use crate::domain::channel::Channel;

words! {
    /// Which text a customer gets.
    pub enum Template {
        OrderConfirmation = "order_confirmation",
        PaymentDue = "payment_due",
        OrderCancelled = "order_cancelled",
        PaymentRefunded = "payment_refunded",
        OrderShipped = "order_shipped",
        OrderDelivered = "order_delivered",
    }
}

impl Template {
    /// The fields that the template is filled with.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::OrderConfirmation => &["order_id", "items", "total"],
            Self::PaymentDue => &["order_id", "amount", "pay_by"],
            Self::OrderCancelled => &["order_id", "total", "reason"],
            Self::PaymentRefunded => &["order_id", "amount"],
            Self::OrderShipped => &["order_id", "carrier", "tracking_number"],
            Self::OrderDelivered => &["order_id"],
        }
    }
}

/// One thing that a customer is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    pub template: Template,
    /// Tells it from others with the same template: the order's revision, or the event's version
    /// where an order has several such events.
    pub about: i64,
    /// The order's revision.
    pub revision: u32,
}

words! {
    /// Why a notification was not delivered.
    pub enum Failure {
        /// Nobody knows where the customer can be reached.
        NoAddress = "no_address",
        /// The provider refuses it for good.
        Refused = "refused",
        /// It was tried for as long as makes sense.
        Undelivered = "undelivered",
        /// The customer was erased before it was delivered.
        Erased = "erased",
    }
}

/// The delivery status of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStatus {
    Queued,
    Sent,
    Failed(Failure),
}

/// One notification, as its order knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotificationState {
    pub id: NotificationId,
    pub channel: Channel,
    /// `None` for a text that staff wrote.
    pub template: Option<Template>,
    /// Which news it tells; `None` if staff asked for it, who may do so again.
    pub about: Option<i64>,
    pub revision: u32,
    pub status: DeliveryStatus,
}

/// What the customer of one order has been told, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notice {
    pub told: Vec<NotificationState>,
}

impl Notice {
    /// Whether the customer was told this already.
    pub fn has_told(&self, news: News) -> bool {
        let key = (Some(news.template), Some(news.about));
        self.told.iter().any(|told| (told.template, told.about) == key)
    }

    /// The order's highest revision of which the customer was told.
    pub fn revision(&self) -> u32 {
        self.told.iter().map(|told| told.revision).max().unwrap_or_default()
    }
}
