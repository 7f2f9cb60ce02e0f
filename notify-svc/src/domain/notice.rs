//! What the customer of an order has been told, and what became of each notification.

use proto::NotificationId;

/// The only way to reach people so far.
pub const CHANNEL: &str = "email";

/// Which text a customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    OrderConfirmation,
    PaymentDue,
    OrderCancelled,
    PaymentRefunded,
}

impl Template {
    /// Every template.
    pub const ALL: [Self; 4] =
        [Self::OrderConfirmation, Self::PaymentDue, Self::OrderCancelled, Self::PaymentRefunded];

    /// The template's name: `order_confirmation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderConfirmation => "order_confirmation",
            Self::PaymentDue => "payment_due",
            Self::OrderCancelled => "order_cancelled",
            Self::PaymentRefunded => "payment_refunded",
        }
    }

    /// The template of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.name() == name)
    }
}

/// One thing that a customer is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    pub template: Template,
    /// Tells it from others with the same template: the order's revision, or the event's version
    /// where an order has several such events.
    pub about: i64,
}

/// Why a notification will not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// Nobody knows where the customer can be reached.
    NoAddress,
}

impl Failure {
    /// The failure's name: `no_address`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
        }
    }
}

/// The delivery status of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStatus {
    Queued,
    Sent,
    Failed(Failure),
}

/// One thing that a customer was told, and its notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotificationState {
    pub news: News,
    pub id: NotificationId,
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
        self.told.iter().any(|told| told.news == news)
    }
}
