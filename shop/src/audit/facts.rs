//! All that is known about each order: what four databases, four topics and the provider say of it.
//!
//! Amounts are ten-thousandths of a unit, as PostgreSQL keeps them, in one integer: there may be a
//! million orders.

use proto::topic;

use crate::by_id::ById;

/// How an order stands, as order-svc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Open,
    Confirmed,
    Cancelled,
}

/// An order as order-svc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) ending: Ending,
    pub(super) total: i64,
    /// Of a cancelled order: whether stock and payment have answered.
    pub(super) is_stock_undone: bool,
    pub(super) is_money_undone: bool,
    /// Whether a deadline will end it if nothing else does.
    pub(super) has_deadline: bool,
    pub(super) version: u32,
    /// The last version heard from stock, payments, notifications.
    pub(super) heard: [u32; 3],
    /// How many events its history holds.
    pub(super) events: u32,
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
    pub(super) version: u32,
    pub(super) heard_orders: u32,
}

/// How a cancelled order was answered by payment-svc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undoing {
    NotAsked,
    Owed,
    Voided,
    Refunded,
}

/// An order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    /// What was captured; `None` if nothing was.
    pub(super) captured: Option<i64>,
    pub(super) refunded: i64,
    /// Whether it went through the provider, not through an account.
    pub(super) is_by_card: bool,
    pub(super) undoing: Undoing,
    /// Whether the provider has been asked something and has not answered.
    pub(super) is_calling: bool,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_stock: u32,
}

/// An order's notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    /// Whether its confirmation, its cancellation was sent, or could not be.
    pub(super) told_confirmed: bool,
    pub(super) told_cancelled: bool,
    /// Whether one is still to be delivered.
    pub(super) is_delivering: bool,
    pub(super) version: u32,
    pub(super) heard_orders: u32,
    pub(super) heard_payments: u32,
}

/// What the provider's own ledger says of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) captures: u32,
    pub(super) captured: i64,
    pub(super) refunded: i64,
}

/// The topics with events about orders, in the order of [`Facts::said`].
pub(super) const TOPICS: [&str; 4] =
    [topic::ORDERS, topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS];
pub(super) const ORDERS: usize = 0;
pub(super) const STOCK: usize = 1;
pub(super) const PAYMENTS: usize = 2;
pub(super) const NOTIFICATIONS: usize = 3;

/// What one topic holds about an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The highest version.
    pub(super) version: u32,
    /// How often each event was said, and its last version, by the number of its member in the
    /// topic's message.
    pub(super) times: [u8; 8],
    pub(super) last: [u16; 8],
    pub(super) partition: i32,
    /// The offset of the last message.
    pub(super) offset: i64,
    /// Retention has removed the first events.
    pub(super) is_trimmed: bool,
}

impl Told {
    /// An event was read; `is_new` unless it is a repetition.
    pub(super) fn message(&mut self, tag: usize, version: u32, at: (i32, i64), is_new: bool) {
        (self.partition, self.offset) = at;
        if is_new {
            self.is_trimmed |= self.version == 0 && version > 1;
            self.version = self.version.max(version);
            if let (Some(times), Some(last)) = (self.times.get_mut(tag), self.last.get_mut(tag)) {
                *times = times.saturating_add(1);
                *last = u16::try_from(version).unwrap_or(u16::MAX);
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
    pub(super) said: [Told; 4],
    /// A message about it is parked somewhere.
    pub(super) is_parked: bool,
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
