//! One state of the shop: what each service stores of each order, the topics, and the provider.

use std::sync::Arc;

use inventory_svc::domain::{self as inventory, Allocation, Reservation, Stock};
use order_svc::domain::{self as orders, AmendmentCause, Method, Order, Revision};
use payment_svc::domain::{
    self as payments, Account, Call, Capture, CompensationState, Hold, LedgerEntry, Movement,
    Operation, Payment, Phase, Refund, RefundState,
};
use proto::{Currency, Money};

/// The whole state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) lives: Vec<Arc<Life>>,
    pub(crate) stock: Arc<Stock>,
    pub(crate) accounts: Arc<Vec<Account>>,
}

/// One order: its aggregate in each service, the events about it, and how far each consumer has
/// heard them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    /// None until the order is placed.
    pub(crate) order: Option<Order>,
    /// What the order asked for, revision by revision, as its events say.
    pub(crate) asked: Vec<Revision>,
    pub(crate) reservation: Reservation,
    pub(crate) payment: Option<Payment>,
    /// The hold of money for the order.
    pub(crate) hold: Option<Hold>,
    pub(crate) said: TopicLogs,
    pub(crate) readers: [Reader; Route::ALL.len()],
    /// Provider calls: the workers repeat each until it has an answer.
    pub(crate) calls: Vec<Call>,
    /// The provider's own ledger.
    pub(crate) provider: Vec<ProviderCall>,
    /// What the customer's account paid for this order and got back.
    pub(crate) ledger: Vec<LedgerEntry>,
    /// Whether a deadline or an expiry ended the order although a capture was known.
    pub(crate) ended_paid: bool,
    /// Whether a step changed the order in another way than its history says.
    pub(crate) strayed: bool,
}

/// Three topics, for this order's key: each is a log in order. A position in the log, from 1, is
/// the event's version and so its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TopicLogs {
    /// Each with the revision that it names.
    pub(crate) orders: Vec<(orders::Announcement, u32)>,
    pub(crate) stock: Vec<inventory::Announcement>,
    pub(crate) payments: Vec<payments::Announcement>,
}

/// A service with an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Order,
    Inventory,
    Payment,
}

/// A topic and the service that consumes it.
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

    pub(crate) fn hearer(self) -> Service {
        match self {
            Self::OrdersToInventory => Service::Inventory,
            Self::OrdersToPayment | Self::StockToPayment => Service::Payment,
            Self::StockToOrder | Self::PaymentsToOrder => Service::Order,
        }
    }
}

/// How far a consumer has come, and what it has written, with one bit for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    /// The stored offset: the next event that the consumer hears.
    pub(crate) position: u8,
    /// The ids in the service's inbox.
    pub(crate) inbox: u16,
    /// The events that took effect.
    pub(crate) effects: u16,
    /// Whether an event took effect more than once.
    pub(crate) repeated: bool,
}

impl Reader {
    /// Whether the consumer has written something of an event whose offset is not stored.
    pub(crate) fn is_behind(self) -> bool {
        (self.inbox | self.effects) >> self.position != 0
    }

    /// Whether an event took no effect although the consumer has gone past it or has its id.
    pub(crate) fn has_skipped(self) -> bool {
        let passed = (1 << self.position) - 1;
        (passed | self.inbox) & !self.effects != 0
    }
}

/// What the provider has done under a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProviderCall {
    pub(crate) key: String,
    pub(crate) operation: Operation,
    pub(crate) amount: Money,
    /// Whether money moved; otherwise the call was declined.
    pub(crate) done: bool,
}

impl World {
    /// An order's part of the state, to be changed.
    pub(crate) fn life(&mut self, place: usize) -> &mut Life {
        Arc::make_mut(&mut self.lives[place])
    }

    pub(crate) fn reader(&mut self, place: usize, route: Route) -> &mut Reader {
        &mut self.life(place).readers[route.place()]
    }

    /// Whether some consumer has to hear an event again.
    pub(crate) fn is_behind(&self) -> bool {
        self.lives.iter().any(|life| life.readers.iter().any(|reader| reader.is_behind()))
    }
}

impl Life {
    /// How many events a route has.
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

    /// Whether nothing is left that will happen by itself. Steps of a person do not count, but for
    /// the payment of a deferred order, nor does a deadline in a scene without clocks.
    pub(crate) fn is_quiet(&self, has_clocks: bool) -> bool {
        let waits_for_money = self.order.as_ref().is_some_and(|order| order.deadline().is_some());
        let deferred = |order: &Order| order.method == Method::Deferred;
        let waits_for_customer = waits_for_money && self.order.as_ref().is_some_and(deferred);
        let may_expire = matches!(self.reservation, Reservation::Held { expired: false, .. });
        let heard = !Route::ALL.into_iter().any(|route| self.has_news(route));
        heard
            && self.calls.is_empty()
            && !waits_for_customer
            && !(has_clocks && (waits_for_money || may_expire))
    }

    /// Whether an event of a route took effect at its consumer.
    pub(crate) fn took_effect(&self, route: Route, index: usize) -> bool {
        self.readers[route.place()].effects >> index & 1 == 1
    }

    /// The length of the longest list.
    pub(crate) fn longest_log(&self) -> usize {
        let TopicLogs { orders, stock, payments } = &self.said;
        let said = orders.len().max(stock.len()).max(payments.len());
        said.max(self.calls.len()).max(self.provider.len()).max(self.ledger.len())
    }

    /// What the order asked for as this revision.
    pub(crate) fn asked(&self, revision: u32) -> &Revision {
        &self.asked[usize::try_from(revision).unwrap() - 1]
    }

    /// How often somebody has asked for something else.
    pub(crate) fn amendments(&self) -> usize {
        let requested = |it: &&Revision| it.cause == Some(AmendmentCause::Requested);
        self.asked.iter().filter(requested).count()
    }

    /// The capture, with how its refunds went.
    pub(crate) fn capture(&self) -> Option<&Capture> {
        match &self.payment.as_ref()?.phase {
            Phase::Captured(capture) => Some(capture),
            Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => None,
        }
    }

    /// How many refunds of the captured money were begun.
    pub(crate) fn refunds(&self) -> Option<u32> {
        Some(self.capture()?.refund.as_ref().map_or(0, |refund| refund.number))
    }

    /// Whether the provider refuses to give a cancelled order's money back, so that only staff can
    /// go on.
    pub(crate) fn waits_for_staff(&self) -> bool {
        let owed = self
            .payment
            .as_ref()
            .is_some_and(|payment| matches!(payment.compensation, CompensationState::Owed { .. }));
        let refused = |refund: &Refund| matches!(refund.state, RefundState::Refused(_));
        owed && self.capture().and_then(|it| it.refund.as_ref()).is_some_and(refused)
    }

    pub(crate) fn phase(&self) -> Option<orders::Phase> {
        self.order.as_ref().map(Order::phase)
    }

    pub(crate) fn reason(&self) -> Option<orders::Reason> {
        Some(self.order.as_ref()?.cancellation.as_ref()?.reason)
    }

    /// The pieces of the reserved revision, held for the order or sold to it, by SKU and warehouse.
    pub(crate) fn allocations(&self) -> &[Allocation] {
        match &self.reservation {
            Reservation::Held { allocations, .. } | Reservation::Sold { allocations, .. } => {
                allocations
            }
            Reservation::Unheard
            | Reservation::Rejected { .. }
            | Reservation::Released { .. }
            | Reservation::Tombstone { .. } => &[],
        }
    }

    /// How many pieces are held for the order, surplus included, or sold to it.
    pub(crate) fn pieces(&self) -> i64 {
        self.reservation.pieces().map(|part| i64::from(part.quantity)).sum()
    }

    /// Every movement of money for this order, by the provider's ledger and by payment-svc's: in
    /// (true) or back.
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

    /// The money that the shop keeps of the order.
    pub(crate) fn net(&self) -> Money {
        net(self.movements())
    }

    /// The money that the shop keeps of the order from the customer's account.
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
