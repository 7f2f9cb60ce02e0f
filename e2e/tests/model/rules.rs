//! The rules of the world: the services' own, or a mutant's in place of one of them.

use inventory_svc::domain::{self as inventory, Reservation, Stock};
use order_svc::domain::{self as orders, Order};
use payment_svc::domain::{self as payments, Call};
use proto::OrderId;
use time::OffsetDateTime;

use crate::world::Service;

type OrderRule = fn(&Order, &orders::Event, OffsetDateTime) -> orders::Decision;
type StockRule = fn(Reservation, &inventory::Event, &Stock, OffsetDateTime) -> inventory::Decision;
type MoneyRule = fn(payments::State, &payments::Event, OrderId) -> payments::Decision;
/// The idempotency key of a call, given how many calls the provider has performed for the order.
type KeyRule = fn(&Call, usize) -> String;

/// The rules of three services, and the guarantees that they rely on.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) order: OrderRule,
    pub(crate) stock: StockRule,
    pub(crate) money: MoneyRule,
    pub(crate) key: KeyRule,
    /// What a consumer writes of one event, as transactions one after the other.
    pub(crate) delivery: &'static [&'static [Write]],
    pub(crate) lacks: Option<Ground>,
}

/// A part of what a consumer writes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// The event's id into the inbox. If the id is there already, the transaction writes nothing
    /// else.
    Id,
    /// The service's decision, with the events that it announces.
    Effect,
    /// The offset: the event need not be delivered any more.
    Offset,
}

/// A guarantee of the mailbox or the workers that decisions rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Events that this service heard before are dropped.
    Inbox(Service),
    /// Announced events commit together with the state.
    Outbox,
    /// A decision sees the rows as they are.
    Locks,
    /// A call whose answer is lost stays in flight and is asked again.
    Patience,
}

impl Rules {
    /// The rules of the real code.
    pub(crate) const fn ours() -> Self {
        Self {
            order: orders::decide,
            stock: inventory::decide,
            money: payments::decide,
            key: |call, _| call.key(),
            // mailbox: `batch::attempt`, and after its commit the checkpoint of `consume`.
            delivery: &[&[Write::Id, Write::Effect], &[Write::Offset]],
            lacks: None,
        }
    }

    pub(crate) fn grant(&self, ground: Ground) -> bool {
        self.lacks != Some(ground)
    }
}
