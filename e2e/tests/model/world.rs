//! One state of the shop: what each service keeps of each order, the topics, and what lies outside.

use std::sync::Arc;

use inventory_svc::domain::{self as inventory, Reservation, Stock};
use order_svc::domain::{self as orders, Order};
use payment_svc::domain::{self as payments, Account, Call, Entry, Movement, Operation, Payment};
use proto::{Currency, Money};

/// Everything, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) lives: Vec<Arc<Life>>,
    pub(crate) stock: Arc<Stock>,
    pub(crate) accounts: Arc<Vec<Account>>,
}

/// One order: its aggregate in each service, what was said about it, who has heard how much of
/// that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    /// None: not placed yet.
    pub(crate) order: Option<Order>,
    pub(crate) reservation: Reservation,
    pub(crate) payment: Option<Payment>,
    pub(crate) said: Said,
    pub(crate) readers: [Reader; Route::ALL.len()],
    /// Rows of order-svc's history that came from other services, by [`Route`].
    pub(crate) history: [u8; Route::ALL.len()],
    /// Rows that a worker asks the provider about until it has an answer.
    pub(crate) calls: Vec<Call>,
    /// The provider's own ledger.
    pub(crate) provider: Vec<Performed>,
    /// What moved in the customer's account for this order.
    pub(crate) ledger: Vec<Entry>,
    /// Whether a deadline or an expiry ended it although a capture was known.
    pub(crate) ended_paid: bool,
}

/// Three topics, this order's key: each a log in order. A place in it, from 1, is an event's
/// version and so its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    pub(crate) orders: Vec<orders::Announcement>,
    pub(crate) stock: Vec<inventory::Announcement>,
    pub(crate) payments: Vec<payments::Announcement>,
}

/// A consumer of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    OrdersToInventory,
    OrdersToPayment,
    StockToOrder,
    StockToPayment,
    PaymentsToOrder,
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [
        Self::OrdersToInventory,
        Self::OrdersToPayment,
        Self::StockToOrder,
        Self::StockToPayment,
        Self::PaymentsToOrder,
    ];

    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// How far a consumer is, and its inbox: one bit for each event's identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    pub(crate) position: u8,
    pub(crate) inbox: u16,
}

/// What the provider has done once, under a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Performed {
    pub(crate) key: String,
    pub(crate) operation: Operation,
    pub(crate) amount: Money,
    /// Whether money moved; else it was declined.
    pub(crate) done: bool,
}

impl World {
    /// An order's part, to be changed.
    pub(crate) fn life(&mut self, place: usize) -> &mut Life {
        Arc::make_mut(&mut self.lives[place])
    }

    /// Whether nothing is left that will happen by itself: what a person may still do does not
    /// count.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lives.iter().all(|life| life.is_quiet())
    }
}

impl Life {
    /// How much there is to hear on a route.
    pub(crate) fn length(&self, route: Route) -> usize {
        match route {
            Route::OrdersToInventory | Route::OrdersToPayment => self.said.orders.len(),
            Route::StockToOrder | Route::StockToPayment => self.said.stock.len(),
            Route::PaymentsToOrder => self.said.payments.len(),
        }
    }

    pub(crate) fn has_news(&self, route: Route) -> bool {
        usize::from(self.readers[route.place()].position) < self.length(route)
    }

    fn is_quiet(&self) -> bool {
        let waits_for_money = self.order.as_ref().is_some_and(|order| order.deadline().is_some());
        let may_expire = matches!(self.reservation, Reservation::Held { expired: false, .. });
        let heard = !Route::ALL.into_iter().any(|route| self.has_news(route));
        heard && self.calls.is_empty() && !waits_for_money && !may_expire
    }

    pub(crate) fn standing(&self) -> Option<orders::Standing> {
        self.order.as_ref().map(Order::standing)
    }

    pub(crate) fn reason(&self) -> Option<orders::Reason> {
        Some(self.order.as_ref()?.cancellation.as_ref()?.reason)
    }

    /// Pieces that are held for it or sold to it.
    pub(crate) fn pieces(&self) -> i64 {
        match &self.reservation {
            Reservation::Held { allocations, .. } | Reservation::Sold { allocations, .. } => {
                allocations.iter().map(|part| i64::from(part.quantity)).sum()
            }
            Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Released { .. } => 0,
        }
    }

    /// Every movement of money for this order, by the provider's ledger and ours: in (true) or
    /// back.
    pub(crate) fn movements(&self) -> impl Iterator<Item = (bool, Money)> {
        let outside = self.provider.iter().filter(|performed| performed.done).map(|performed| {
            let comes_in = matches!(performed.operation, Operation::Charge { .. });
            (comes_in, performed.amount)
        });
        let inside = self.ledger.iter().filter_map(|entry| match entry.movement {
            Movement::Capture | Movement::CaptureHeld => Some((true, entry.amount)),
            Movement::Refund => Some((false, entry.amount)),
            Movement::Deposit | Movement::Hold | Movement::Release => None,
        });
        outside.chain(inside)
    }

    pub(crate) fn captures(&self) -> usize {
        self.movements().filter(|(comes_in, _)| *comes_in).count()
    }

    /// What the shop keeps of it.
    pub(crate) fn net(&self) -> Money {
        net(self.movements())
    }

    /// What the shop keeps of it from the customer's account.
    pub(crate) fn net_of_account(&self) -> Money {
        let outside = self.provider.iter().filter(|performed| performed.done).count();
        net(self.movements().skip(outside))
    }
}

fn net(movements: impl Iterator<Item = (bool, Money)>) -> Money {
    let mut sum = Money::zero(Currency::USD);
    for (comes_in, amount) in movements {
        sum = if comes_in { sum.plus(amount) } else { sum.minus(amount) }.unwrap();
    }
    sum
}
