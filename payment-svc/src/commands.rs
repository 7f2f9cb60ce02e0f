//! What people ask for: to pay, and what to do with an account. Refused, or done and told.

use mailbox::{Answer, Decided, Trace, Turn};
use proto::{Currency, CustomerId, Money, OrderId};

use crate::{
    domain::{self, Account, Decision, Entry, Instrument, Refusal, Wallet},
    reactions::{add_entry, keep, state},
    store::{AccountRow, Wanted, World},
    views,
};

/// A request, read and well-formed.
#[derive(Clone, Debug)]
pub enum Request {
    /// Pay what is due.
    Pay {
        order: OrderId,
        instrument: Instrument,
        amount: Option<Money>,
    },
    OpenAccount {
        customer: CustomerId,
        currency: Currency,
    },
    Deposit {
        customer: CustomerId,
        amount: Money,
    },
    Hold {
        customer: CustomerId,
        order: OrderId,
        amount: Money,
    },
    Release {
        customer: CustomerId,
        order: OrderId,
    },
}

impl Request {
    /// Names the rows that it needs.
    pub(crate) fn want(&self, wanted: &mut Wanted) {
        match self {
            // Whose account pays, the payment tells.
            Self::Pay { order, .. } => _ = wanted.orders.insert(*order),
            Self::OpenAccount { customer, .. } | Self::Deposit { customer, .. } => {
                wanted.customers.insert(customer.clone());
            }
            Self::Hold { customer, order, .. } | Self::Release { customer, order } => {
                wanted.customers.insert(customer.clone());
                wanted.holds.insert((customer.clone(), *order));
            }
        }
    }
}

/// Does what is asked, or says why not; a refusal leaves `world` as it was.
pub(crate) fn execute(
    world: &mut World,
    request: &Request,
    trace: Option<Trace>,
    turn: &Turn,
) -> Decided {
    let decided = match request {
        Request::Pay { order, instrument, amount } => {
            pay(world, *order, instrument, *amount).map(|decision| {
                let announced = keep(world, *order, decision, trace, turn);
                let root = world.root(*order).expect("only a known payment is paid");
                Decided { announced, answer: views::outcome(root) }
            })
        }
        Request::OpenAccount { customer, currency } => {
            open_account(world, customer, *currency, turn).map(told)
        }
        Request::Deposit { customer, amount } => deposit(world, customer, *amount, turn).map(told),
        Request::Hold { customer, order, amount } => {
            hold(world, customer, *order, *amount, turn).map(told)
        }
        Request::Release { customer, order } => release(world, customer, *order, turn).map(told),
    };
    decided.unwrap_or_else(|refusal| told(views::refused(&refusal)))
}

fn told(answer: Answer) -> Decided {
    Decided { announced: Vec::new(), answer }
}

fn pay(
    world: &World,
    order: OrderId,
    instrument: &Instrument,
    amount: Option<Money>,
) -> Result<Decision, Refusal> {
    domain::pay(state(world, order, None), instrument, amount)
}

fn open_account(
    world: &mut World,
    customer: &CustomerId,
    currency: Currency,
    turn: &Turn,
) -> Result<Answer, Refusal> {
    if world.account(customer).is_some() {
        return Err(Refusal::AccountExists);
    }
    let account = Account::empty(customer.clone(), currency);
    Ok(views::account_opened(world.open_account(account, turn.now)))
}

fn deposit(
    world: &mut World,
    customer: &CustomerId,
    amount: Money,
    turn: &Turn,
) -> Result<Answer, Refusal> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let (account, entry) = domain::deposit(row.account.clone(), amount)?;
    world.put_account(account);
    let id = add_entry(world, entry, turn);
    Ok(views::deposited(id, known(world, customer)))
}

fn hold(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    amount: Money,
    turn: &Turn,
) -> Result<Answer, Refusal> {
    let (wallet, entry) = domain::hold(world.wallet(customer, order), order, amount)?;
    let status = if entry.is_some() { 201 } else { 200 };
    keep_hold(world, order, wallet, entry, turn);
    Ok(views::held(status, order, known(world, customer)))
}

fn release(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    turn: &Turn,
) -> Result<Answer, Refusal> {
    let (wallet, entry) = domain::release(world.wallet(customer, order), order)?;
    keep_hold(world, order, wallet, entry, turn);
    Ok(views::held(200, order, known(world, customer)))
}

fn keep_hold(world: &mut World, order: OrderId, wallet: Wallet, entry: Option<Entry>, turn: &Turn) {
    world.put_wallet(order, wallet);
    if let Some(entry) = entry {
        add_entry(world, entry, turn);
    }
}

/// The account that was just changed.
fn known<'w>(world: &'w World, customer: &CustomerId) -> &'w AccountRow {
    world.account(customer).expect("what changed is there")
}
