//! By which rules the world goes: the services' own, or a mutant's in place of one of them.

use inventory_svc::domain::{self as inventory, Reservation, Stock};
use order_svc::domain::{self as orders, Order};
use payment_svc::domain::{self as payments, Call};
use proto::OrderId;
use time::OffsetDateTime;

use crate::world::Service;

type OrderRule = fn(&Order, &orders::Event, OffsetDateTime) -> orders::Decision;
type StockRule = fn(Reservation, &inventory::Event, &Stock, OffsetDateTime) -> inventory::Decision;
type MoneyRule = fn(OrderId, payments::State, payments::Event) -> payments::Decision;
/// The idempotency key of a call that the provider has seen under so many keys.
type KeyRule = fn(&Call, usize) -> String;

/// Three services and the ground they stand on.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) order: OrderRule,
    pub(crate) stock: StockRule,
    pub(crate) money: MoneyRule,
    pub(crate) key: KeyRule,
    /// What a consumer writes of one event: transactions, one after the other.
    pub(crate) delivery: &'static [&'static [Write]],
    pub(crate) lacks: Option<Ground>,
}

/// What a consumer writes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Its id into the inbox; without an inbox that lacks it, nothing else of it is written.
    Id,
    /// What the service decides, with what it says.
    Effect,
    /// That the event need not be delivered any more.
    Offset,
}

/// What the mailbox and the workers grant, so that a decision may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// What this service heard before is dropped.
    Inbox(Service),
    /// What is announced commits with the state.
    Outbox,
    /// Rows are seen as they are.
    Locks,
    /// A call whose answer is lost stays in flight and is asked again.
    Patience,
}

impl Rules {
    /// The rules that ship.
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
