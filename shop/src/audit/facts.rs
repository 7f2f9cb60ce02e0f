//! Everything that is known about each order, from four databases, four topics and the provider.
//!
//! Amounts are ten-thousandths of a unit, as PostgreSQL stores them, in one integer. Times are
//! seconds since 1970, 0 for none. Contents are numbers of [`content`](super::content), because
//! there may be a million orders.

use proto::topic;

use super::{
    content::{Amount, Contents},
    tag,
};
use crate::by_id::ById;

/// How an order ended according to order-svc, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderEnd {
    Open,
    Confirmed,
    Cancelled,
}

/// An order according to order-svc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) ending: OrderEnd,
    pub(super) customer: u32,
    pub(super) total: Amount,
    /// How many pieces of which SKU, as a number.
    pub(super) basket: u32,
    pub(super) revision: u32,
    /// For a cancelled order: whether stock has answered the cancellation, and what payment has
    /// answered.
    pub(super) is_stock_undone: bool,
    pub(super) compensation: CompensationState,
    /// When a deadline will end the order if nothing else does.
    pub(super) due_at: u32,
    pub(super) is_deferred: bool,
    pub(super) version: u32,
    /// The highest version heard from stock, payments and notifications.
    pub(super) heard: [u32; 3],
    /// How many events the order's history holds.
    pub(super) events: u32,
    pub(super) foretold: Contents,
    /// The terms of the highest revision that is reserved, as a number; 0 for none.
    pub(super) reserved_terms: u32,
    /// All of the row that the history comes to, as a number.
    pub(super) folded: u32,
}

/// The state of an order's reservation at inventory-svc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Rejected,
    Held,
    Sold,
    Released,
}

/// An order's reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) hold: Hold,
    /// Whether the expiry was announced, and when the reservation expires.
    pub(super) is_expired: bool,
    pub(super) expires_at: u32,
    /// What the reservation holds or held, as a number; 0 for nothing.
    pub(super) basket: u32,
    pub(super) revision: u32,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) foretold: Contents,
}

/// What payment-svc answered to the cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompensationState {
    NotAsked,
    Owed,
    Voided,
    Refunded,
}

/// An order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    /// The customer, as a number; 0 for a tombstone.
    pub(super) customer: u32,
    pub(super) currency: [u8; 3],
    /// The captured amount; `None` if nothing was captured.
    pub(super) captured: Option<i64>,
    pub(super) refunded: i64,
    /// How many refunds were made, and how many were refused for good.
    pub(super) refunds: u32,
    pub(super) refused: u32,
    /// Whether the money went through the provider, not through an account.
    pub(super) is_by_card: bool,
    pub(super) compensation: CompensationState,
    /// Until when the call to the provider is leased; 0 without a call.
    pub(super) call_until: u32,
    /// Whether money of an account is still held for the order.
    pub(super) has_hold: bool,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_stock: u32,
    pub(super) foretold: Contents,
}

/// An order's notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    /// How often the customer was told, or could not be, with each of [`TEMPLATES`].
    pub(super) told: [u8; 6],
    /// Whether something was told twice, or before what happened before it.
    pub(super) is_confused: bool,
    /// How many notifications were sent, and how many failed.
    pub(super) sent: u8,
    pub(super) failed: u8,
    /// Until when a delivery is leased; 0 if nothing is to be delivered.
    pub(super) delivery_until: u32,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_payments: u32,
    pub(super) foretold: Contents,
}

/// The templates, in the order in which a customer can be told.
pub(super) const TEMPLATES: [&str; 6] = [
    "payment_due",
    "order_confirmation",
    "order_cancelled",
    "payment_refunded",
    "order_shipped",
    "order_delivered",
];
pub(super) const DUE: usize = 0;
pub(super) const CONFIRMATION: usize = 1;
pub(super) const CANCELLATION: usize = 2;
pub(super) const REFUND: usize = 3;
pub(super) const SHIPMENT: usize = 4;
pub(super) const DELIVERY: usize = 5;

/// What the provider's own ledger holds about an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) captures: u32,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) currency: [u8; 3],
    /// Whether the order has money in more than one currency.
    pub(super) is_mixed: bool,
}

/// The topics with events about orders, in the order of [`Facts::said`].
pub(super) const TOPICS: [&str; 4] =
    [topic::ORDERS, topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS];
pub(super) const ORDERS: usize = 0;
pub(super) const STOCK: usize = 1;
pub(super) const PAYMENTS: usize = 2;
pub(super) const NOTIFICATIONS: usize = 3;

/// The services, in the order of the topics that they own.
pub(super) const SERVICES: [&str; 4] = ["order-svc", "inventory-svc", "payment-svc", "notify-svc"];

/// What an order's facts keep of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageFacts {
    /// The number of the event's member in the topic's message.
    pub(super) tag: usize,
    pub(super) version: u32,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// When Kafka received it.
    pub(super) at: u32,
    pub(super) content: u32,
    pub(super) terms: u32,
}

/// What one topic holds about an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicFacts {
    /// The highest version.
    pub(super) version: u32,
    /// How often each event was published, its last version and the sum of its contents, by the
    /// number of its member in the topic's message.
    pub(super) times: [u8; tag::LENGTH],
    pub(super) last: [u16; tag::LENGTH],
    pub(super) contents: Contents,
    /// The terms that the last event with terms named, as a number; 0 for none.
    pub(super) last_terms: u32,
    pub(super) partition: i32,
    /// The offset of the last message, and when Kafka received it.
    pub(super) offset: i64,
    pub(super) at: u32,
    /// When the last row of the outbox was written: not all rows may be in the topic yet.
    pub(super) outbox_at: u32,
    /// Whether retention has removed the first events.
    pub(super) is_trimmed: bool,
}

impl TopicFacts {
    /// Takes in an event that was read; `is_new` unless it is a repetition.
    pub(super) fn message(&mut self, heard: &MessageFacts, is_new: bool) {
        (self.partition, self.offset, self.at) = (heard.partition, heard.offset, heard.at);
        if is_new {
            let (tag, version) = (heard.tag, heard.version);
            self.is_trimmed |= self.version == 0 && version > 1;
            self.version = self.version.max(version);
            if let Some(times) = self.times.get_mut(tag) {
                *times = times.saturating_add(1);
                self.last[tag] = u16::try_from(version).unwrap_or(u16::MAX);
                self.contents[tag] = self.contents[tag].wrapping_add(heard.content);
                let terms = &mut self.contents[super::content::TERMS];
                *terms = terms.wrapping_add(heard.terms);
                if heard.terms != 0 {
                    self.last_terms = heard.terms;
                }
            }
        }
    }
}

/// Everything that is known about one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) order: Option<Order>,
    pub(super) reservation: Option<Reservation>,
    pub(super) payment: Option<Payment>,
    pub(super) notices: Option<Notices>,
    pub(super) provider: Provider,
    pub(super) said: [TopicFacts; 4],
    /// The rows of the order's history, and those that the topics' messages would make: sums.
    pub(super) history: u64,
    pub(super) told_history: u64,
    /// Whether a message about the order is parked at some service.
    pub(super) is_parked: bool,
    /// Whether an operator has discarded or replaced a message about the order.
    pub(super) has_intervention: bool,
}

/// All orders, as an index and a dense table: the spare room of a map costs too much with entries
/// of this size.
#[derive(Debug, Default)]
pub(super) struct Orders {
    index: ById<u32>,
    table: Vec<(u128, Facts)>,
}

impl Orders {
    /// What is known about an order; nothing at first.
    pub(super) fn of(&mut self, order: u128) -> &mut Facts {
        let next = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        let at = *self.index.entry(order).or_insert(next);
        if at == next {
            self.table.push((order, Facts::default()));
        }
        &mut self.table[at as usize].1
    }

    pub(super) fn get_mut(&mut self, order: u128) -> Option<&mut Facts> {
        let at = *self.index.get(&order)?;
        self.table.get_mut(at as usize).map(|(_, facts)| facts)
    }

    pub(super) fn get(&self, order: u128) -> Option<&Facts> {
        let at = *self.index.get(&order)?;
        self.table.get(at as usize).map(|(_, facts)| facts)
    }

    /// All orders, each by its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, &Facts)> {
        self.table.iter().map(|(order, facts)| (*order, facts))
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
