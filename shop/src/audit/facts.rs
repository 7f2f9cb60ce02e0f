//! All that is known about each order: what four databases, four topics and the provider say of it.
//!
//! Amounts are ten-thousandths of a unit, as PostgreSQL keeps them, in one integer; moments are
//! seconds since 1970, 0 for none; contents are numbers of [`content`](super::content): there may be
//! a million orders.

use proto::topic;

use super::content::{Amount, Contents};
use crate::by_id::ById;

/// How an order stands, as order-svc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderEnd {
    Open,
    Confirmed,
    Cancelled,
}

/// An order as order-svc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) ending: OrderEnd,
    pub(super) customer: u32,
    pub(super) total: Amount,
    /// How many pieces of which SKU.
    pub(super) basket: u32,
    pub(super) revision: u32,
    /// Of a cancelled order: whether stock has answered, and what payment has.
    pub(super) is_stock_undone: bool,
    pub(super) compensation: CompensationState,
    /// When a deadline will end it if nothing else does.
    pub(super) due_at: u32,
    pub(super) is_deferred: bool,
    pub(super) version: u32,
    /// The last version heard from stock, payments, notifications.
    pub(super) heard: [u32; 3],
    /// How many events its history holds.
    pub(super) events: u32,
    pub(super) foretold: Contents,
}

/// What inventory-svc holds for an order.
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
    /// Whether it was said that the hold ran out, and when it does.
    pub(super) is_expired: bool,
    pub(super) expires_at: u32,
    /// What it holds, or held; 0 for nothing.
    pub(super) basket: u32,
    pub(super) revision: u32,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) foretold: Contents,
}

/// How a cancelled order was answered by payment-svc.
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
    /// Whose it is; 0 for a tombstone.
    pub(super) customer: u32,
    pub(super) currency: [u8; 3],
    /// What was captured; `None` if nothing was.
    pub(super) captured: Option<i64>,
    pub(super) refunded: i64,
    /// How many refunds the provider or the account has made.
    pub(super) refunds: u32,
    /// Whether it went through the provider, not through an account.
    pub(super) is_by_card: bool,
    pub(super) compensation: CompensationState,
    /// Until when the provider is asked by somebody; 0 when it is not asked.
    pub(super) call_until: u32,
    /// Whether money of the account is still held for the order.
    pub(super) has_hold: bool,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_stock: u32,
    pub(super) foretold: Contents,
}

/// An order's notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    /// How often its customer was told, or could not be, of each of [`TEMPLATES`].
    pub(super) told: [u8; 4],
    /// Something was told twice, or before what happened before it.
    pub(super) is_confused: bool,
    /// How many were sent, and how many failed.
    pub(super) sent: u8,
    pub(super) failed: u8,
    /// Until when one that is still to be delivered is somebody's; 0 when none is.
    pub(super) delivery_until: u32,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_payments: u32,
    pub(super) foretold: Contents,
}

/// What customers are told, in the order in which it can happen.
pub(super) const TEMPLATES: [&str; 4] =
    ["payment_due", "order_confirmation", "order_cancelled", "payment_refunded"];
pub(super) const DUE: usize = 0;
pub(super) const CONFIRMATION: usize = 1;
pub(super) const CANCELLATION: usize = 2;
pub(super) const REFUND: usize = 3;

/// What the provider's own ledger says of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) captures: u32,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) currency: [u8; 3],
    /// It has money in more than one currency.
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

/// A message as an order's facts take it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageFacts {
    /// The number of its member in the topic's message.
    pub(super) tag: usize,
    pub(super) version: u32,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// When Kafka got it.
    pub(super) at: u32,
    pub(super) content: u32,
    pub(super) terms: u32,
    /// It as a row of the order's history.
    pub(super) history: u64,
}

/// What one topic holds about an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicFacts {
    /// The highest version.
    pub(super) version: u32,
    /// How often each event was said, its last version and the sum of what it said, by the number
    /// of its member in the topic's message.
    pub(super) times: [u8; 8],
    pub(super) last: [u16; 8],
    pub(super) contents: Contents,
    pub(super) partition: i32,
    /// The last message, and when Kafka got it.
    pub(super) offset: i64,
    pub(super) at: u32,
    /// The last row of the outbox, not all of which may be in the topic yet.
    pub(super) outbox_at: u32,
    /// Retention has removed the first events.
    pub(super) is_trimmed: bool,
}

impl TopicFacts {
    /// An event was read; `is_new` unless it is a repetition.
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
            }
        }
    }
}

/// Everything about one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) order: Option<Order>,
    pub(super) reservation: Option<Reservation>,
    pub(super) payment: Option<Payment>,
    pub(super) notices: Option<Notices>,
    pub(super) provider: Provider,
    pub(super) said: [TopicFacts; 4],
    /// The rows of its history, and what the topics say that they are: sums.
    pub(super) history: u64,
    pub(super) told_history: u64,
    /// A message about it is parked somewhere.
    pub(super) is_parked: bool,
    /// An operator has discarded or replaced a message about it.
    pub(super) has_intervention: bool,
}

/// All orders. An index and a dense table: a map's spare room costs too much with entries this
/// size.
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

    /// The ids of all of them.
    pub(super) fn ids(&self) -> impl Iterator<Item = u128> {
        self.table.iter().map(|(order, _)| *order)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
