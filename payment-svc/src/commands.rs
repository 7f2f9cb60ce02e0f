//! What people ask for: to pay, and what to do with an account. Refused, or done and told.

use mailbox::{Answer, Effects, Trace, DecisionContext};
use proto::{Currency, CustomerId, Money, OrderId};

use crate::{
    domain::{self, Account, Decision, FieldError, Instrument, Refusal, State, Wallet},
    reactions::{add_entry, keep, state},
    store::{AccountRow, RowsToLock, World},
    views,
};

/// An amount as it was asked for. The account or order says which currency it has to have, and so
/// how many decimals.
#[derive(Clone, Debug)]
pub struct AmountRequest {
    pub text: String,
    /// None for a bare number.
    pub currency: Option<Currency>,
}

impl AmountRequest {
    fn within(&self, wanted: Currency) -> Result<Money, Refusal> {
        if self.currency.is_some_and(|currency| currency != wanted) {
            return Err(Refusal::OtherCurrency { wanted });
        }
        Money::parse(&self.text, wanted).map_err(Refusal::BadAmount)
    }
}

impl From<Money> for AmountRequest {
    fn from(money: Money) -> Self {
        Self { text: money.amount_text(), currency: Some(money.currency()) }
    }
}

/// A request, read and well-formed.
#[derive(Clone, Debug)]
pub enum Request {
    /// Pay what is due.
    Pay {
        order: OrderId,
        instrument: Instrument,
        amount: Option<AmountRequest>,
    },
    OpenAccount {
        customer: CustomerId,
        currency: Currency,
    },
    Deposit {
        customer: CustomerId,
        amount: AmountRequest,
    },
    Hold {
        customer: CustomerId,
        order: OrderId,
        amount: AmountRequest,
    },
    Release {
        customer: CustomerId,
        order: OrderId,
    },
    /// Nobody asks for this: the hold is as old as one may become.
    ExpireHold {
        customer: CustomerId,
        order: OrderId,
    },
    /// Nothing changes; what was found out is kept under the request's key.
    Keep(Answer),
}

impl Request {
    /// Names the rows that it needs.
    pub(crate) fn want(&self, wanted: &mut RowsToLock) {
        match self {
            // Whose account pays, the payment tells.
            Self::Pay { order, .. } => _ = wanted.orders.insert(*order),
            Self::OpenAccount { customer, .. } | Self::Deposit { customer, .. } => {
                wanted.customers.insert(customer.clone());
            }
            Self::Hold { customer, order, .. } | Self::ExpireHold { customer, order } => {
                wanted.orders.insert(*order);
                wanted.customers.insert(customer.clone());
                wanted.holds.insert((customer.clone(), *order));
            }
            Self::Release { customer, order } => {
                wanted.customers.insert(customer.clone());
                wanted.holds.insert((customer.clone(), *order));
            }
            Self::Keep(_) => {}
        }
    }
}

/// Does what is asked, or says why not; a refusal leaves `world` as it was.
pub(crate) fn execute(
    world: &mut World,
    request: &Request,
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Effects {
    let decided = match request {
        Request::Pay { order, instrument, amount } => {
            pay(world, *order, instrument, amount.as_ref()).map(|decision| {
                let announced = keep(world, *order, decision, trace, context);
                let root = world.root(*order).expect("only a known payment is paid");
                Effects { announced, answer: views::paid(root, instrument) }
            })
        }
        Request::OpenAccount { customer, currency } => {
            open_account(world, customer, *currency, context).map(told)
        }
        Request::Deposit { customer, amount } => deposit(world, customer, amount, context).map(told),
        Request::Hold { customer, order, amount } => {
            hold(world, customer, *order, amount, context).map(told)
        }
        Request::Release { customer, order } => release(world, customer, *order, context).map(told),
        Request::ExpireHold { customer, order } => {
            expire_hold(world, customer, *order, context);
            Ok(Effects::default())
        }
        Request::Keep(answer) => Ok(told(answer.clone())),
    };
    decided.unwrap_or_else(|refusal| told(views::refused(&refusal)))
}

fn told(answer: Answer) -> Effects {
    Effects { announced: Vec::new(), answer }
}

fn pay(
    world: &World,
    order: OrderId,
    instrument: &Instrument,
    amount: Option<&AmountRequest>,
) -> Result<Decision, Refusal> {
    let state = state(world, order, None);
    let due = state.payment.as_ref().and_then(|payment| payment.due.as_ref());
    let amount = amount.zip(due).map(|(amount, due)| amount.within(due.amount.currency()));
    domain::pay(state, instrument, amount.transpose()?)
}

fn open_account(
    world: &mut World,
    customer: &CustomerId,
    currency: Currency,
    context: &DecisionContext,
) -> Result<Answer, Refusal> {
    if world.account(customer).is_some() {
        return Err(Refusal::AccountExists);
    }
    let account = Account::empty(customer.clone(), currency);
    Ok(views::account_opened(world.open_account(account, context.now)))
}

fn deposit(
    world: &mut World,
    customer: &CustomerId,
    amount: &AmountRequest,
    context: &DecisionContext,
) -> Result<Answer, Refusal> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let amount = amount.within(row.account.currency())?;
    let (account, entry) = domain::deposit(row.account.clone(), amount)?;
    world.put_account(account);
    let id = add_entry(world, entry, context);
    Ok(views::deposited(id, known(world, customer)))
}

fn hold(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    amount: &AmountRequest,
    context: &DecisionContext,
) -> Result<Answer, Refusal> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let amount = amount.within(row.account.currency())?;
    let (wallet, entry) = domain::hold(held(world, customer, order), order, amount)?;
    let status = if entry.is_some() { 201 } else { 200 };
    keep_hold(world, order, wallet, entry, context);
    Ok(views::held(status, order, known(world, customer)))
}

fn release(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    context: &DecisionContext,
) -> Result<Answer, Refusal> {
    let (wallet, entry) = domain::release(world.wallet(customer, order), order)?;
    keep_hold(world, order, wallet, entry, context);
    Ok(views::held(200, order, known(world, customer)))
}

fn expire_hold(world: &mut World, customer: &CustomerId, order: OrderId, context: &DecisionContext) {
    if let Some((wallet, entry)) = domain::expire_hold(held(world, customer, order), order) {
        keep_hold(world, order, wallet, Some(entry), context);
    }
}

/// What is decided from about money held for an order, which need not be the customer's.
fn held(world: &World, customer: &CustomerId, order: OrderId) -> State {
    let payment = world.root(order).map(|root| root.payment.clone());
    State { payment, wallet: world.wallet(customer, order) }
}

fn keep_hold(world: &mut World, order: OrderId, wallet: Wallet, entry: Option<FieldError>, context: &DecisionContext) {
    world.put_wallet(order, wallet);
    if let Some(entry) = entry {
        add_entry(world, entry, context);
    }
}

/// The account that was just changed.
fn known<'w>(world: &'w World, customer: &CustomerId) -> &'w AccountRow {
    world.account(customer).expect("what changed is there")
}
