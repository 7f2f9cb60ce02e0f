//! All rows that one batch touches: what they were when they were locked, and what they have become
//! since.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{HeldRow, Trace, Tracked};
use proto::{CustomerId, Money, OrderId};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    domain::{
        Account, Call, CompensationState, Event, Hold, Instrument, LedgerEntry, Payment, Phase,
        Wallet,
    },
    input::{Input, Request},
};

/// A payment with what is counted and timed about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    pub payment: Payment,
    /// Events said about this order.
    pub version: i64,
    pub heard_orders: i64,
    pub heard_stock: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// When it was captured or declined.
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
            capture.refunding = None;
        }
        root
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    pub account: Account,
    pub created_at: OffsetDateTime,
}

/// A line of the ledger as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryRow {
    pub id: Uuid,
    pub entry: LedgerEntry,
}

/// A call, and what the one who makes it needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    pub call: Call,
    pub trace: Option<Trace>,
    /// How often it was taken over: above 0, the provider may know of it.
    pub attempts: i32,
    /// Until when nobody else asks. Counted from before the row was leased, so that this process
    /// never believes longer in its lease than the others do.
    pub leased_until: Instant,
}

/// What a batch needs to find.
#[derive(Clone, Debug, Default)]
pub struct RowsToLock {
    pub orders: BTreeSet<OrderId>,
    /// Customers whose accounts are needed whatever the payments say.
    pub customers: BTreeSet<CustomerId>,
    /// Holds that are needed though their account may hold nothing.
    pub holds: BTreeSet<(CustomerId, OrderId)>,
    /// Orders whose call to the provider is said to be over without money.
    pub calls: BTreeSet<OrderId>,
}

impl RowsToLock {
    /// Those of a batch.
    pub fn of(batch: &[&Input]) -> Self {
        let mut rows = Self::default();
        for input in batch {
            rows.add(input);
        }
        rows
    }

    fn add(&mut self, input: &Input) {
        match input {
            Input::Heard { order, customer, event, .. } => {
                self.orders.insert(*order);
                // A card's charge needs no account yet; anything else may pay from one, or end a
                // hold.
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
            Input::Request(request, _) => self.add_request(request),
        }
    }

    fn add_request(&mut self, request: &Request) {
        match request {
            // Whose account pays, the payment tells.
            Request::Pay { order, .. } => _ = self.orders.insert(*order),
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
    /// Until when the calls that this batch begins belong to this process.
    pub leased_until: Instant,
    pub payments: BTreeMap<OrderId, Tracked<Root>>,
    pub accounts: BTreeMap<CustomerId, Tracked<AccountRow>>,
    pub holds: BTreeMap<(CustomerId, OrderId), Tracked<Hold>>,
    pub entries: Vec<EntryRow>,
    pub attempts: BTreeMap<OrderId, i32>,
    pub begun: BTreeMap<OrderId, CallRow>,
    pub over: BTreeSet<OrderId>,
    pub said: BTreeMap<&'static str, u64>,
    /// Payments and accounts that another session holds.
    pub held_payments: BTreeSet<OrderId>,
    pub held_accounts: BTreeSet<CustomerId>,
}

impl World {
    pub fn new(leased_until: Instant) -> Self {
        Self {
            leased_until,
            payments: BTreeMap::new(),
            accounts: BTreeMap::new(),
            holds: BTreeMap::new(),
            entries: Vec::new(),
            attempts: BTreeMap::new(),
            begun: BTreeMap::new(),
            over: BTreeSet::new(),
            said: BTreeMap::new(),
            held_payments: BTreeSet::new(),
            held_accounts: BTreeSet::new(),
        }
    }

    pub fn root(&self, order: OrderId) -> Option<&Root> {
        self.payments.get(&order).map(|row| &row.now)
    }

    /// The root, to be written.
    pub fn root_mut(&mut self, order: OrderId) -> Option<&mut Root> {
        self.payments.get_mut(&order).map(|row| &mut row.now)
    }

    pub fn account(&self, customer: &CustomerId) -> Option<&AccountRow> {
        self.accounts.get(customer).map(|row| &row.now)
    }

    /// What an order may take from its customer.
    pub fn wallet(&self, customer: &CustomerId, order: OrderId) -> Wallet {
        let hold = if self.holds.is_empty() {
            None
        } else {
            self.holds.get(&(customer.clone(), order)).map(|row| row.now.clone())
        };
        Wallet { account: self.account(customer).map(|row| row.account.clone()), hold }
    }

    /// Keeps what was decided about a payment.
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
        let root = &mut self.payments.entry(order).or_insert_with(fresh).now;
        if root.payment != payment {
            if root.payment.outcome() != payment.outcome() {
                root.outcome_at = payment.outcome().map(|_| now);
            }
            root.payment = payment;
            root.updated_at = now;
        }
    }

    /// Counts an event said about an order; its version is the count.
    pub fn say(&mut self, order: OrderId, outcome: &'static str) -> i64 {
        *self.said.entry(outcome).or_default() += 1;
        let root = self.root_mut(order).expect("what is said is said about a payment that is kept");
        root.version += 1;
        root.version
    }

    pub fn open_account(&mut self, account: Account, created_at: OffsetDateTime) -> &AccountRow {
        let customer = account.customer.clone();
        let row = Tracked::new(AccountRow { account, created_at });
        &self.accounts.entry(customer).insert_entry(row).into_mut().now
    }

    /// Keeps what was decided about a wallet.
    pub fn put_wallet(&mut self, order: OrderId, wallet: Wallet) {
        let Wallet { account: Some(account), hold } = wallet else { return };
        if let Some(hold) = hold {
            let row = self.holds.entry((account.customer.clone(), order));
            row.or_insert_with(|| Tracked::new(hold.clone())).now.clone_from(&hold);
        }
        self.put_account(account);
    }

    pub fn put_account(&mut self, account: Account) {
        if let Some(row) = self.accounts.get_mut(&account.customer) {
            row.now.account = account;
        }
    }

    pub fn add_entry(&mut self, entry: EntryRow) {
        self.entries.push(entry);
    }

    /// A call that this process makes once all of it is committed.
    pub fn begin_call(&mut self, call: Call, trace: Option<Trace>) {
        let leased_until = self.leased_until;
        self.begun.insert(call.order, CallRow { call, trace, attempts: 0, leased_until });
    }

    /// Whether an order's call still belongs to whoever took it over so often.
    pub fn is_held(&self, order: OrderId, attempts: i32) -> bool {
        self.attempts.get(&order) == Some(&attempts)
    }

    /// The call that was in flight has been answered.
    pub fn end_call(&mut self, order: OrderId) {
        self.over.insert(order);
    }

    /// The row for which `input` has to wait.
    pub fn held(&self, input: &Input) -> Option<HeldRow> {
        let rows = RowsToLock::of(&[input]);
        let payment = rows.orders.iter().find(|order| self.held_payments.contains(order));
        let owner = |order: &OrderId| self.root(*order)?.payment.customer();
        let mut customers = rows.customers.iter().chain(rows.orders.iter().filter_map(owner));
        let account = customers.find(|customer| self.held_accounts.contains(customer));
        let payment = payment.map(|order| HeldRow::new("payment", order.to_string()));
        payment.or_else(|| account.map(|customer| HeldRow::new("account", customer.to_string())))
    }

    /// What there is to do once all of it is committed.
    pub fn after_commit(self) -> AfterCommit {
        let changed = self.payments.into_iter().filter(|(_, it)| it.is_new() || it.is_changed());
        AfterCommit {
            begun: self.begun.into_values().collect(),
            changed: changed.map(|(order, _)| order).collect(),
            said: self.said,
        }
    }
}

/// What a committed batch leads to.
#[derive(Debug)]
pub struct AfterCommit {
    /// Calls to make.
    pub begun: Vec<CallRow>,
    /// Orders whose payment changed.
    pub changed: Vec<OrderId>,
    /// Events said, by outcome.
    pub said: BTreeMap<&'static str, u64>,
}
