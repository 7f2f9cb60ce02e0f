//! Requests of people: to pay, to give money back, and to use an account. Each is refused, or carried out and answered.

use chassis::Problem;
use mailbox::{Answer, DecisionContext, Effects, Trace};
use proto::{Currency, CustomerId, Money, OrderId};
use service_kit::AmountRequest;

use crate::{
    apply::{add_entry, keep, state},
    domain::{self, Account, Instrument, LedgerEntry, Payment, Refusal, State, Wallet},
    input::Request,
    views,
    world::{AccountRow, World},
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
    let decided = match request {
        Request::Pay { order, instrument, amount, trace } => {
            pay(world, (*order, *trace), instrument, amount.as_ref(), context)
        }
        Request::Refund { order, amount, trace } => {
            refund(world, *order, amount.as_ref(), *trace, context)
        }
        Request::OpenAccount { customer, currency } => {
            open_account(world, customer, *currency, context).map(told)
        }
        Request::Deposit { customer, amount } => {
            deposit(world, customer, amount, context).map(told)
        }
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
    decided.unwrap_or_else(|problem| told(service_kit::refusal(&problem)))
}

fn told(answer: Answer) -> Effects {
    Effects { answer, ..Effects::default() }
}

/// A payment of another amount than is due is refused provisionally: the order may have been amended
/// just now.
fn pay(
    world: &mut World,
    (order, trace): (OrderId, Option<Trace>),
    instrument: &Instrument,
    amount: Option<&AmountRequest>,
    context: &DecisionContext,
) -> Result<Effects, Problem> {
    let state = state(world, order, None);
    let due = state.payment.as_ref().and_then(|payment| payment.due.as_ref());
    let amount = amount.zip(due).map(|(amount, due)| within(amount, due.amount.currency()));
    let decision = match domain::pay(state, instrument, amount.transpose()?) {
        Ok(decision) => decision,
        Err(refusal) => {
            let is_provisional = matches!(refusal, Refusal::OtherAmount { .. });
            return Ok(refused(refusal, is_provisional));
        }
    };
    let announced = keep(world, order, decision, trace, context);
    let root = world.root(order).expect("only a known payment is paid");
    let answer = views::paid(root, instrument);
    Ok(Effects { announced, answer, ..Effects::default() })
}

fn refused(refusal: Refusal, is_provisional: bool) -> Effects {
    Effects { is_provisional, ..told(service_kit::refusal(&refusal.into())) }
}

/// A refund that has to wait for another is answered provisionally: it is asked for again.
fn refund(
    world: &mut World,
    order: OrderId,
    amount: Option<&AmountRequest>,
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Result<Effects, Problem> {
    let state = state(world, order, None);
    let captured = state.payment.as_ref().and_then(Payment::amount);
    let amount = amount.zip(captured).map(|(amount, of)| within(amount, of.currency()));
    let decision = match domain::refund(state, amount.transpose()?) {
        Ok(decision) => decision,
        Err(refusal) => {
            let is_provisional = refusal == Refusal::RefundUnderWay;
            return Ok(refused(refusal, is_provisional));
        }
    };
    let asked = decision.refunds.first().cloned();
    let announced = keep(world, order, decision, trace, context);
    let root = world.root(order).expect("only a known payment is refunded");
    let answer = views::refund_asked(root, &asked.expect("a refund is begun"));
    Ok(Effects { announced, answer, ..Effects::default() })
}

/// The amount in `currency`; refused if it names another.
fn within(amount: &AmountRequest, currency: Currency) -> Result<Money, Problem> {
    amount.in_currency(currency).map_err(|fault| fault.problem("/amount"))
}

fn open_account(
    world: &mut World,
    customer: &CustomerId,
    currency: Currency,
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    if world.account(customer).is_some() {
        return Err(Refusal::AccountExists.into());
    }
    let account = Account::empty(customer.clone(), currency);
    Ok(views::account_opened(world.open_account(account, context.now)))
}

fn deposit(
    world: &mut World,
    customer: &CustomerId,
    amount: &AmountRequest,
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let amount = within(amount, row.account.currency())?;
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
) -> Result<Answer, Problem> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let amount = within(amount, row.account.currency())?;
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
) -> Result<Answer, Problem> {
    let (wallet, entry) = domain::release(world.wallet(customer, order), order)?;
    keep_hold(world, order, wallet, entry, context);
    Ok(views::held(200, order, known(world, customer)))
}

fn expire_hold(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    context: &DecisionContext,
) {
    if let Some((wallet, entry)) = domain::expire_hold(held(world, customer, order), order) {
        keep_hold(world, order, wallet, Some(entry), context);
    }
}

/// The state that a decision about a hold is made from: `customer` need not be the order's own.
fn held(world: &World, customer: &CustomerId, order: OrderId) -> State {
    let payment = world.root(order).map(|root| root.payment.clone());
    State { payment, wallet: world.wallet(customer, order) }
}

fn keep_hold(
    world: &mut World,
    order: OrderId,
    wallet: Wallet,
    entry: Option<LedgerEntry>,
    context: &DecisionContext,
) {
    world.put_wallet(order, wallet);
    if let Some(entry) = entry {
        add_entry(world, entry, context);
    }
}

/// The account that the request has just changed.
fn known<'w>(world: &'w World, customer: &CustomerId) -> &'w AccountRow {
    world.account(customer).expect("what changed is there")
}
