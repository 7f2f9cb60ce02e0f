//! The registry of events: each one's number, topic and name, and the way to and from bytes.
//!
//! Numbers stand in outbox rows and never change; a new event takes the next free one of its topic.

use prost::Message;

use crate::{catalogue, notifications, orders, payments, stock};

/// The topics, each its owner's stream.
pub mod topic {
    pub const ORDERS: &str = "shop.orders.v1";
    pub const PAYMENTS: &str = "shop.payments.v1";
    pub const STOCK: &str = "shop.stock.v1";
    pub const NOTIFICATIONS: &str = "shop.notifications.v1";
    pub const CATALOGUE: &str = "shop.catalogue.v1";
    pub const ALL: [&str; 5] = [ORDERS, PAYMENTS, STOCK, NOTIFICATIONS, CATALOGUE];
}

/// Who speaks on `topic`, as `ce_source` names it.
pub fn source(topic: &str) -> Option<&'static str> {
    match topic {
        topic::ORDERS => Some("/shop/order-svc"),
        topic::PAYMENTS => Some("/shop/payment-svc"),
        topic::STOCK | topic::CATALOGUE => Some("/shop/inventory-svc"),
        topic::NOTIFICATIONS => Some("/shop/notify-svc"),
        _ => None,
    }
}

/// What there is to know about an event before looking inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType {
    /// Its number in outbox rows.
    pub number: i16,
    pub topic: &'static str,
    /// Its message: `OrderPlaced`.
    pub name: &'static str,
}

impl EventType {
    pub fn numbered(number: i16) -> Option<&'static Self> {
        EVENT_TYPES.iter().find(|known| known.number == number)
    }

    /// Looks up a `ce_type`, such as `shop.orders.v1.OrderPlaced`.
    pub fn named(full_name: &str) -> Option<&'static Self> {
        let (topic, name) = full_name.rsplit_once('.')?;
        EVENT_TYPES.iter().find(|known| known.topic == topic && known.name == name)
    }

    /// The `ce_type`: `shop.orders.v1.OrderPlaced`. Topics are named as the packages are.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.topic, self.name)
    }

    /// Who says it, as `ce_source` names it: `/shop/order-svc`.
    pub fn source(&self) -> &'static str {
        source(self.topic).expect("every topic has a source")
    }
}

/// Events of the schema that no service says yet.
pub const PLANNED: [&EventType; 3] = [
    &<orders::OrderAmended as Payload>::TYPE,
    &<orders::OrderShipped as Payload>::TYPE,
    &<orders::OrderDelivered as Payload>::TYPE,
];

/// The content of one event. `Into<Event>`, so that `OrderPlaced { .. }.into()` is an [`Event`].
pub trait Payload: Message + Into<Event> {
    const TYPE: EventType;
}

/// Anything that a service has said, with the message that says it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Orders(orders::order_event::Event),
    Payments(payments::payment_event::Event),
    Stock(stock::stock_event::Event),
    Notifications(notifications::notification_event::Event),
    Catalogue(catalogue::catalogue_event::Event),
}

/// Lists every event once, and derives the table, the lookups and the conversions.
macro_rules! events {
    ($(
        $topic:ident $variant:ident $module:ident::$oneof:ident { $($number:literal $name:ident)* }
    )*) => {
        /// Every event, in the order of its topic's `oneof`.
        pub const EVENT_TYPES: &[EventType] = &[$($(<$module::$name as Payload>::TYPE,)*)*];

        impl Event {
            pub fn event_type(&self) -> &'static EventType {
                match self {
                    $($(Self::$variant($module::$oneof::Event::$name(_)) => {
                        &<$module::$name as Payload>::TYPE
                    })*)*
                }
            }
        }

        $($(
            impl Payload for $module::$name {
                const TYPE: EventType = EventType {
                    number: $number,
                    topic: topic::$topic,
                    name: stringify!($name),
                };
            }

            impl From<$module::$name> for Event {
                fn from(message: $module::$name) -> Self {
                    Self::$variant($module::$oneof::Event::$name(message))
                }
            }
        )*)*
    };
}

events! {
    ORDERS Orders orders::order_event {
        1 OrderPlaced
        2 OrderAwaitingPayment
        3 OrderConfirmed
        4 OrderCancelled
        5 OrderAmended
        6 OrderShipped
        7 OrderDelivered
    }
    PAYMENTS Payments payments::payment_event {
        21 PaymentCaptured
        22 PaymentDeclined
        23 PaymentVoided
        24 PaymentRefunded
    }
    STOCK Stock stock::stock_event {
        41 StockReserved
        42 StockRejected
        43 StockReleased
        44 ReservationExpired
    }
    NOTIFICATIONS Notifications notifications::notification_event {
        61 NotificationSent
        62 NotificationFailed
    }
    CATALOGUE Catalogue catalogue::catalogue_event {
        81 ProductChanged
    }
}

/// Why bytes are no event of their topic.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("no such topic: {0}")]
    UnknownTopic(String),
    #[error("the message does not decode")]
    Malformed(#[from] prost::DecodeError),
    #[error("the message says nothing")]
    Empty,
}

impl Event {
    pub fn topic(&self) -> &'static str {
        self.event_type().topic
    }

    /// The topic's message with this event in it.
    pub fn encode(&self) -> Vec<u8> {
        /// A message that has nothing but its `oneof` is written as the `oneof` alone.
        macro_rules! bytes {
            ($event:ident) => {{
                let mut bytes = Vec::with_capacity($event.encoded_len());
                $event.encode(&mut bytes);
                bytes
            }};
        }
        match self {
            Self::Orders(event) => bytes!(event),
            Self::Payments(event) => bytes!(event),
            Self::Stock(event) => bytes!(event),
            Self::Notifications(event) => bytes!(event),
            Self::Catalogue(event) => bytes!(event),
        }
    }

    /// Reads a message of `topic`. `None`: it says something that this build does not know yet.
    pub fn decode(topic: &str, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::Empty);
        }
        Ok(match topic {
            topic::ORDERS => orders::OrderEvent::decode(bytes)?.event.map(Self::Orders),
            topic::PAYMENTS => payments::PaymentEvent::decode(bytes)?.event.map(Self::Payments),
            topic::STOCK => stock::StockEvent::decode(bytes)?.event.map(Self::Stock),
            topic::NOTIFICATIONS => {
                notifications::NotificationEvent::decode(bytes)?.event.map(Self::Notifications)
            }
            topic::CATALOGUE => {
                catalogue::CatalogueEvent::decode(bytes)?.event.map(Self::Catalogue)
            }
            _ => return Err(DecodeError::UnknownTopic(topic.to_owned())),
        })
    }

    /// The event's own message for people: snake case, money as amount and currency, enums as
    /// short words, sealed details only as the word.
    pub fn to_json(&self) -> serde_json::Value {
        crate::json::of(self)
    }
}
