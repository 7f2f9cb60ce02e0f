//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mailbox::{HeldRow, Trace, Tracked};
use proto::{CustomerId, Money, OrderId};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    domain::{
        Account, Call, CompensationState, Decline, Event, Hold, Instrument, LedgerEntry, Payment,
        Phase, Refund, Wallet,
    },
    input::{Fact, Input, Request},
};

/// A payment, with the counters and times of its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    pub payment: Payment,
    /// How many events this service has announced about the order.
    pub version: i64,
    pub heard_orders: i64,
    pub heard_stock: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// When the payment was captured or declined.
    pub outcome_at: Option<OffsetDateTime>,
}

impl Root {
    /// The payment as it stood when its outcome was known, whatever became of it since.
    #[must_use]
    pub fn at_outcome(&self) -> Self {
        let mut root = self.clone();
        root.updated_at = self.outcome_at.unwrap_or(self.updated_at);
        root.payment.compensation = CompensationState::NotAsked;
        if let Phase::Captured(capture) = &mut root.payment.phase {
            capture.refunded = Money::zero(capture.amount.currency());
            capture.refund = None;
        }
        root
    }

    /// The payment as it stood when one of its charges was declined, whatever became of it since.
    #[must_use]
    pub fn at_decline(mut self, declined: DeclinedCharge) -> Self {
        self.payment.phase = Phase::Declined(declined.decline);
        self.outcome_at = Some(declined.declined_at);
        self
    }
}

/// A charge that was declined, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclinedCharge {
    pub decline: Decline,
    pub declined_at: OffsetDateTime,
}

/// An account with its counters.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    pub account: Account,
    pub created_at: OffsetDateTime,
}

/// A ledger entry with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    pub id: Uuid,
    pub entry: LedgerEntry,
}

/// A call, with what the process that makes it needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    pub call: Call,
    /// Whose money it is about.
    pub customer: CustomerId,
    pub trace: Option<Trace>,
    /// How often the call was taken over: above 0, the provider may know of the call.
    pub attempts: i32,
    /// How old the call was when it was leased: providers forget keys.
    pub age: Duration,
    /// Until when no other process asks. Counted from before the row was leased, so that this
    /// process never believes in its lease longer than the others do.
    pub leased_until: Instant,
}

/// The rows that a batch needs to find.
#[derive(Clone, Debug, Default)]
pub struct RowsToLock {
    pub orders: BTreeSet<OrderId>,
    /// Customers whose accounts are needed, beside those that the payments name.
    pub customers: BTreeSet<CustomerId>,
    /// Holds that are needed even if no account holds anything.
    pub holds: BTreeSet<(CustomerId, OrderId)>,
    /// Orders whose call, as a process reports, ended without money.
    pub calls: BTreeSet<OrderId>,
}

impl RowsToLock {
    /// The rows that the inputs of a batch need.
    pub fn of(batch: &[&Input]) -> Self {
        let mut rows = Self::default();
        for input in batch {
            rows.add(input);
        }
        rows
    }

    fn add(&mut self, input: &Input) {
        match input {
            Input::Heard(fact) => {
                let Fact { order, customer, event, .. } = &**fact;
                self.orders.insert(*order);
                // A card's charge needs no account yet; anything else may pay from one, or release
                // a hold.
                let by_card = matches!(event, Event::StockReserved(due)
                    if matches!(due.instrument, Some(Instrument::Card(_))));
                if !by_card {
                    self.customers.extend(customer.clone());
                }
            }
            Input::Answered { order, event, .. } => {
                self.orders.insert(*order);
                if event.is_negative() {
                    self.calls.insert(*order);
                }
            }
            Input::Request(request) => self.add_request(request),
        }
    }

    fn add_request(&mut self, request: &Request) {
        match request {
            // The payment says whose account pays, or is paid.
            Request::Pay { order, .. } | Request::Refund { order, .. } => {
                self.orders.insert(*order);
            }
            Request::OpenAccount { customer, .. } | Request::Deposit { customer, .. } => {
                self.customers.insert(customer.clone());
            }
            Request::Hold { customer, order, .. } | Request::ExpireHold { customer, order } => {
                self.orders.insert(*order);
                self.customers.insert(customer.clone());
                self.holds.insert((customer.clone(), *order));
            }
            Request::Release { customer, order } => {
                self.customers.insert(customer.clone());
                self.holds.insert((customer.clone(), *order));
            }
            Request::Keep(_) => {}
        }
    }
}

/// All rows that one batch touches.
#[derive(Debug)]
pub struct World {
    /// Until when the calls that this batch begins are leased to this process.
    pub leased_until: Instant,
    /// The payments of the batch's orders, known before or not.
    pub roots: BTreeMap<OrderId, Tracked<Root>>,
    pub accounts: BTreeMap<CustomerId, Tracked<AccountRow>>,
    pub holds: BTreeMap<(CustomerId, OrderId), Tracked<Hold>>,
    pub entries: Vec<EntryRow>,
    /// Refunds by order and number: the last one of each order, and those begun since.
    pub refunds: BTreeMap<(OrderId, u32), Tracked<Refund>>,
    /// Charges that the batch ends without money, by order and revision.
    pub declined: BTreeMap<(OrderId, u32), DeclinedCharge>,
    /// How often each call was taken over, of the orders in `RowsToLock::calls`.
    pub attempts: BTreeMap<OrderId, i32>,
    /// Calls that the batch begins.
    pub begun: BTreeMap<OrderId, CallRow>,
    /// Orders whose call was answered: its row is removed.
    pub over: BTreeSet<OrderId>,
    /// How many events were announced, by outcome.
    pub said: BTreeMap<&'static str, u64>,
    /// Payments and accounts whose rows another session holds.
    pub held_payments: BTreeSet<OrderId>,
    pub held_accounts: BTreeSet<CustomerId>,
}

impl World {
    /// A world without rows, whose calls will be leased until `leased_until`.
    pub fn new(leased_until: Instant) -> Self {
        Self {
            leased_until,
            roots: BTreeMap::new(),
            accounts: BTreeMap::new(),
            holds: BTreeMap::new(),
            entries: Vec::new(),
            refunds: BTreeMap::new(),
            declined: BTreeMap::new(),
            attempts: BTreeMap::new(),
            begun: BTreeMap::new(),
            over: BTreeSet::new(),
            said: BTreeMap::new(),
            held_payments: BTreeSet::new(),
            held_accounts: BTreeSet::new(),
        }
    }

    /// The payment of an order, as the batch has left it so far.
    pub fn root(&self, order: OrderId) -> Option<&Root> {
        self.roots.get(&order).map(|row| &row.now)
    }

    /// The root, to be changed.
    pub fn root_mut(&mut self, order: OrderId) -> Option<&mut Root> {
        self.roots.get_mut(&order).map(|row| &mut row.now)
    }

    /// An account, as the batch has left it so far.
    pub fn account(&self, customer: &CustomerId) -> Option<&AccountRow> {
        self.accounts.get(customer).map(|row| &row.now)
    }

    /// The account of `customer`, and its hold for `order`.
    pub fn wallet(&self, customer: &CustomerId, order: OrderId) -> Wallet {
        let hold = if self.holds.is_empty() {
            None
        } else {
            self.holds.get(&(customer.clone(), order)).map(|row| row.now.clone())
        };
        Wallet { account: self.account(customer).map(|row| row.account.clone()), hold }
    }

    /// Puts the decided payment in its place, and times its outcome.
    pub fn put_payment(&mut self, payment: Payment, now: OffsetDateTime) {
        let order = payment.order;
        let fresh = || {
            Tracked::new(Root {
                payment: Payment::of(order),
                version: 0,
                heard_orders: 0,
                heard_stock: 0,
                created_at: now,
                updated_at: now,
                outcome_at: None,
            })
        };
        let root = &mut self.roots.entry(order).or_insert_with(fresh).now;
        if root.payment != payment {
            if root.payment.outcome() != payment.outcome() {
                root.outcome_at = payment.outcome().map(|_| now);
            }
            root.payment = payment;
            root.updated_at = now;
        }
    }

    /// Counts an announced event; the count is the event's version.
    pub fn say(&mut self, order: OrderId, outcome: &'static str) -> i64 {
        *self.said.entry(outcome).or_default() += 1;
        let root = self.root_mut(order).expect("what is said is said about a payment that is kept");
        root.version += 1;
        root.version
    }

    /// Opens an account that does not exist yet.
    pub fn open_account(&mut self, account: Account, created_at: OffsetDateTime) -> &AccountRow {
        let customer = account.customer.clone();
        let row = Tracked::new(AccountRow { account, created_at });
        &self.accounts.entry(customer).insert_entry(row).into_mut().now
    }

    /// Puts the decided account and hold in their places.
    pub fn put_wallet(&mut self, order: OrderId, wallet: Wallet) {
        let Wallet { account: Some(account), hold } = wallet else { return };
        if let Some(hold) = hold {
            let row = self.holds.entry((account.customer.clone(), order));
            row.or_insert_with(|| Tracked::new(hold.clone())).now.clone_from(&hold);
        }
        self.put_account(account);
    }

    /// Replaces an account that exists.
    pub fn put_account(&mut self, account: Account) {
        if let Some(row) = self.accounts.get_mut(&account.customer) {
            row.now.account = account;
        }
    }

    /// Puts a refund in its place: as it begins, or as it has ended.
    pub fn put_refund(&mut self, order: OrderId, refund: &Refund) {
        let row = self.refunds.entry((order, refund.number));
        row.or_insert_with(|| Tracked::new(refund.clone())).now.clone_from(refund);
    }

    /// Adds a charge that was declined: that stays so, whatever becomes of its payment.
    pub fn add_declined(&mut self, order: OrderId, decline: Decline, now: OffsetDateTime) {
        let key = (order, decline.revision);
        self.declined.insert(key, DeclinedCharge { decline, declined_at: now });
    }

    /// Adds a line to an account's ledger.
    pub fn add_entry(&mut self, entry: EntryRow) {
        self.entries.push(entry);
    }

    /// Adds a call that this process makes once the batch is committed.
    pub fn begin_call(&mut self, call: Call, customer: CustomerId, trace: Option<Trace>) {
        let (order, leased_until) = (call.order, self.leased_until);
        self.begun.insert(
            order,
            CallRow { call, customer, trace, attempts: 0, age: Duration::ZERO, leased_until },
        );
    }

    /// Whether an order's call still belongs to the process that got it after `attempts` takeovers.
    pub fn is_held(&self, order: OrderId, attempts: i32) -> bool {
        self.attempts.get(&order) == Some(&attempts)
    }

    /// Removes the call that was in flight: it has been answered.
    pub fn end_call(&mut self, order: OrderId) {
        self.over.insert(order);
    }

    /// The held row for which `input` has to wait, if any.
    pub fn held(&self, input: &Input) -> Option<HeldRow> {
        let rows = RowsToLock::of(&[input]);
        let payment = rows.orders.iter().find(|order| self.held_payments.contains(order));
        let owner = |order: &OrderId| self.root(*order)?.payment.customer();
        let mut customers = rows.customers.iter().chain(rows.orders.iter().filter_map(owner));
        let account = customers.find(|customer| self.held_accounts.contains(customer));
        let payment = payment.map(|order| HeldRow::new("payment", order.to_string()));
        payment.or_else(|| account.map(|customer| HeldRow::new("account", customer.to_string())))
    }

    /// What is left to do once the batch is committed.
    pub fn after_commit(self) -> AfterCommit {
        let changed = self.roots.into_iter().filter(|(_, it)| it.is_new() || it.is_changed());
        AfterCommit {
            begun: self.begun.into_values().collect(),
            changed: changed.map(|(order, _)| order).collect(),
            said: self.said,
        }
    }
}

/// What has to be done after a batch is committed.
#[derive(Debug)]
pub struct AfterCommit {
    /// Calls to make.
    pub begun: Vec<CallRow>,
    /// Orders whose payment changed.
    pub changed: Vec<OrderId>,
    /// How many events were announced, by outcome.
    pub said: BTreeMap<&'static str, u64>,
}
