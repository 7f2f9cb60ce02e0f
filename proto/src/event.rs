//! The registry of events: the number, topic and name of each, and the conversion to and from
//! bytes.
//!
//! Numbers are in outbox rows and never change; a new event takes the next free number of its
//! topic.

use prost::Message;

use crate::{catalogue, notifications, orders, payments, stock};

/// The topics: each is the stream of one owner.
pub mod topic {
    /// What order-svc says of orders.
    pub const ORDERS: &str = "shop.orders.v1";
    /// What payment-svc says of payments.
    pub const PAYMENTS: &str = "shop.payments.v1";
    /// What inventory-svc says of reservations.
    pub const STOCK: &str = "shop.stock.v1";
    /// What notify-svc says of notifications.
    pub const NOTIFICATIONS: &str = "shop.notifications.v1";
    /// What inventory-svc says of products; compacted.
    pub const CATALOGUE: &str = "shop.catalogue.v1";
    /// Every topic of the shop.
    pub const ALL: [&str; 5] = [ORDERS, PAYMENTS, STOCK, NOTIFICATIONS, CATALOGUE];
}

/// The service that publishes on `topic`, as `ce_source` names it.
pub fn source(topic: &str) -> Option<&'static str> {
    match topic {
        topic::ORDERS => Some("/shop/order-svc"),
        topic::PAYMENTS => Some("/shop/payment-svc"),
        topic::STOCK | topic::CATALOGUE => Some("/shop/inventory-svc"),
        topic::NOTIFICATIONS => Some("/shop/notify-svc"),
        _ => None,
    }
}

/// What is known of an event without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType {
    /// The event's number in outbox rows.
    pub number: i16,
    pub topic: &'static str,
    /// The name of its message: `OrderPlaced`.
    pub name: &'static str,
}

impl EventType {
    /// The type with this number in the outbox; `None` for a number of a later build.
    pub fn numbered(number: i16) -> Option<&'static Self> {
        EVENT_TYPES.iter().find(|known| known.number == number)
    }

    /// Looks up a `ce_type`, such as `shop.orders.v1.OrderPlaced`.
    pub fn named(full_name: &str) -> Option<&'static Self> {
        let (topic, name) = full_name.rsplit_once('.')?;
        EVENT_TYPES.iter().find(|known| known.topic == topic && known.name == name)
    }

    /// The `ce_type`: `shop.orders.v1.OrderPlaced`. Topics have the names of the protobuf packages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.topic, self.name)
    }

    /// The member of its topic's `oneof event`: `order_placed`.
    pub fn member(&self) -> String {
        let mut member = String::new();
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() && !member.is_empty() {
                member.push('_');
            }
            member.push(letter.to_ascii_lowercase());
        }
        member
    }

    /// The service that publishes the event, as `ce_source` names it: `/shop/order-svc`.
    pub fn source(&self) -> &'static str {
        source(self.topic).expect("every topic has a source")
    }
}

/// Events of the schema that no service publishes yet.
pub const PLANNED: [&EventType; 0] = [];

/// The message of one event. It is `Into<Event>`, so that `OrderPlaced { .. }.into()` is an
/// [`Event`].
pub trait Payload: Message + Into<Event> {
    /// The event's number, topic and name.
    const TYPE: EventType;
}

/// Any event, with its message.
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
            /// The type of this event: its number, name and topic.
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
        25 RefundRefused
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

/// Why bytes are not an event of their topic.
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
    /// The topic on which it is published.
    pub fn topic(&self) -> &'static str {
        self.event_type().topic
    }

    /// The topic's message with this event in it, as bytes.
    pub fn encode(&self) -> Vec<u8> {
        /// The bytes of the topic's message, which has nothing but its `oneof`, are those of the
        /// `oneof`.
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

    /// Reads a message of `topic`; `None` if it contains an event that this build does not know.
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

    /// Takes the sealed details of a payment out, which only payment-svc can open. Returns whether
    /// there were any.
    pub fn strip_details(&mut self) -> bool {
        use orders::order_event::Event as Order;
        use stock::stock_event::Event as Stock;

        let terms = match self {
            Self::Orders(Order::OrderPlaced(said)) => said.terms.as_mut(),
            Self::Orders(Order::OrderAmended(said)) => said.terms.as_mut(),
            Self::Stock(Stock::StockReserved(said)) => said.terms.as_mut(),
            _ => None,
        };
        terms.is_some_and(|terms| terms.details.take().is_some())
    }

    /// The event's message in Protobuf's JSON form, with the names of the schema: integers of 64
    /// bits and enums are text. Fails for an enum value of a later build.
    pub fn to_proto_json(&self) -> serde_json::Result<serde_json::Value> {
        crate::json::raw(self)
    }

    /// The event's message as JSON for people: snake case, money as amount and currency, enums as
    /// short words, and for sealed payment details only the word `sealed`.
    pub fn to_json(&self) -> serde_json::Value {
        crate::json::of(self)
    }
}
