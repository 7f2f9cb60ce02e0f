//! Every SQL statement of this service, and the rows that one batch holds between load and save.
//!
//! Locks are taken in one order: payments by order id, then accounts by customer id; what hangs
//! below them (holds, the ledger, calls) is changed only under those locks. Saving goes the same
//! way, each table with its keys sorted.

mod accounts;
mod calls;
mod payments;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mailbox::{HeldRow, LockPolicy, Trace};
use proto::{CustomerId, Money, OrderId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::{Account, Call, LedgerEntry, Hold, Payment, Phase, CompensationState, Wallet};

pub use accounts::{LedgerLine, account, entries, overdue_holds};
pub use calls::{CallRow, UnansweredCalls, lease_calls, postpone_call, unanswered_calls};
pub use payments::{payment, refunds_refused};

/// This service's tables, the mailbox's first.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

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
        root.payment.undoing = CompensationState::NotAsked;
        if let Phase::Captured(capture) = &mut root.payment.standing {
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

/// All rows that one batch touches.
#[derive(Debug)]
pub struct World {
    /// Until when the calls that this batch begins belong to this process.
    leased_until: Instant,
    payments: BTreeMap<OrderId, Slot<Root>>,
    accounts: BTreeMap<CustomerId, Slot<AccountRow>>,
    holds: BTreeMap<(CustomerId, OrderId), Slot<Hold>>,
    entries: Vec<EntryRow>,
    attempts: BTreeMap<OrderId, i32>,
    begun: BTreeMap<OrderId, CallRow>,
    over: BTreeSet<OrderId>,
    said: BTreeMap<&'static str, u64>,
    /// Payments and accounts that another session holds.
    held_payments: BTreeSet<OrderId>,
    held_accounts: BTreeSet<CustomerId>,
}

#[derive(Debug)]
struct Slot<T> {
    row: T,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Kept,
    Changed,
    New,
}

impl<T> Slot<T> {
    fn kept(row: T) -> Self {
        Self { row, change: Change::Kept }
    }

    fn new(row: T) -> Self {
        Self { row, change: Change::New }
    }

    fn change(&mut self) -> &mut T {
        if self.change == Change::Kept {
            self.change = Change::Changed;
        }
        &mut self.row
    }
}

fn with<K, T>(slots: &BTreeMap<K, Slot<T>>, change: Change) -> Vec<(&K, &T)> {
    slots.iter().filter(|(_, slot)| slot.change == change).map(|(k, s)| (k, &s.row)).collect()
}

impl World {
    fn new(leased_until: Instant) -> Self {
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
        self.payments.get(&order).map(|slot| &slot.row)
    }

    /// The root, to be written.
    pub fn root_mut(&mut self, order: OrderId) -> Option<&mut Root> {
        self.payments.get_mut(&order).map(Slot::change)
    }

    pub fn account(&self, customer: &CustomerId) -> Option<&AccountRow> {
        self.accounts.get(customer).map(|slot| &slot.row)
    }

    /// What an order may take from its customer.
    pub fn wallet(&self, customer: &CustomerId, order: OrderId) -> Wallet {
        let hold = if self.holds.is_empty() {
            None
        } else {
            self.holds.get(&(customer.clone(), order)).map(|slot| slot.row.clone())
        };
        Wallet { account: self.account(customer).map(|row| row.account.clone()), hold }
    }

    /// Keeps what was decided about a payment.
    pub fn put_payment(&mut self, payment: Payment, now: OffsetDateTime) {
        let order = payment.order;
        let fresh = || {
            Slot::new(Root {
                payment: Payment::of(order),
                version: 0,
                heard_orders: 0,
                heard_stock: 0,
                created_at: now,
                updated_at: now,
                outcome_at: None,
            })
        };
        let slot = self.payments.entry(order).or_insert_with(fresh);
        if slot.row.payment != payment {
            let root = slot.change();
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
        let slot = Slot::new(AccountRow { account, created_at });
        let customer = slot.row.account.customer.clone();
        &self.accounts.entry(customer).insert_entry(slot).into_mut().row
    }

    /// Keeps what was decided about a wallet.
    pub fn put_wallet(&mut self, order: OrderId, wallet: Wallet) {
        let Wallet { account: Some(account), hold } = wallet else { return };
        if let Some(hold) = hold {
            let slot = self.holds.entry((account.customer.clone(), order));
            let slot = slot.or_insert_with(|| Slot::new(hold.clone()));
            if slot.row != hold {
                *slot.change() = hold;
            }
        }
        self.put_account(account);
    }

    pub fn put_account(&mut self, account: Account) {
        if let Some(slot) = self.accounts.get_mut(&account.customer)
            && slot.row.account != account
        {
            slot.change().account = account;
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

    /// The row that is wanted, and that another session holds.
    pub fn held(&self, wanted: &RowsToLock) -> Option<HeldRow> {
        let payment = wanted.orders.iter().find(|order| self.held_payments.contains(order));
        let owner = |order: &OrderId| self.root(*order)?.payment.customer();
        let mut customers = wanted.customers.iter().chain(wanted.orders.iter().filter_map(owner));
        let account = customers.find(|customer| self.held_accounts.contains(customer));
        let payment = payment.map(|order| HeldRow::new("payment", order.to_string()));
        payment.or_else(|| account.map(|customer| HeldRow::new("account", customer.to_string())))
    }

    /// What there is to do once all of it is committed.
    pub fn effects(self) -> AfterCommit {
        let changed = self.payments.into_iter().filter(|(_, slot)| slot.change != Change::Kept);
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

/// Locks and reads all rows of a batch: payments, then accounts, then what is held in them, then
/// calls. What the batch begins will be leased for `lease`.
pub async fn load(
    db: &mut PgConnection,
    wanted: RowsToLock,
    locking: LockPolicy,
    lease: Duration,
) -> sqlx::Result<World> {
    let mut world = World::new(Instant::now() + lease);
    let RowsToLock { orders, mut customers, holds, calls } = wanted;
    if !orders.is_empty() {
        let mut ids: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
        if locking == LockPolicy::SkipHeld {
            world.held_payments.extend(payments::held_payments(db, &ids).await?);
            ids.retain(|id| !world.held_payments.contains(&OrderId::new(*id)));
        }
        for root in payments::lock_payments(db, &ids).await? {
            customers.extend(root.payment.customer().cloned());
            world.payments.insert(root.payment.order, Slot::kept(root));
        }
    }
    if !customers.is_empty() {
        let mut names: Vec<String> = customers.iter().map(ToString::to_string).collect();
        if locking == LockPolicy::SkipHeld {
            world.held_accounts.extend(accounts::held_accounts(db, &names).await?);
            names.retain(|name| !world.held_accounts.iter().any(|held| held.as_str() == name));
        }
        for row in accounts::lock_accounts(db, &names).await? {
            world.accounts.insert(row.account.customer.clone(), Slot::kept(row));
        }
    }
    // Hardly any account holds anything: the statement is spared unless it may find something.
    let holding = world.accounts.values().any(|slot| slot.row.account.held.is_positive());
    if holding || !holds.is_empty() {
        let names: Vec<String> = world.accounts.keys().map(ToString::to_string).collect();
        let ids: BTreeSet<Uuid> =
            orders.iter().chain(holds.iter().map(|(_, order)| order)).map(|o| o.uuid()).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        for (key, hold) in accounts::holds(db, &names, &ids).await? {
            world.holds.insert(key, Slot::kept(hold));
        }
    }
    world.attempts = calls::lock_attempts(db, &calls).await?;
    Ok(world)
}

/// Writes what changed, one statement a table and kind of change.
pub async fn save(db: &mut PgConnection, world: &World, lease: Duration) -> sqlx::Result<()> {
    payments::insert_payments(db, &with(&world.payments, Change::New)).await?;
    payments::update_payments(db, &with(&world.payments, Change::Changed)).await?;
    accounts::insert_accounts(db, &with(&world.accounts, Change::New)).await?;
    accounts::update_accounts(db, &with(&world.accounts, Change::Changed)).await?;
    accounts::insert_holds(db, &with(&world.holds, Change::New)).await?;
    accounts::update_holds(db, &with(&world.holds, Change::Changed)).await?;
    accounts::append_entries(db, &world.entries).await?;
    calls::end_calls(db, &world.over).await?;
    calls::begin_calls(db, &world.begun, lease).await
}

/// A time for a statement.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A row that no code of ours could have written.
fn impossible(what: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("a row cannot be: {what}").into())
}
