//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use mailbox::{Announced, Answer, Decided, Message, Park, Reactor, Reading, Trace, Turn};
use proto::{Currency, CustomerId, Money, OrderId, SealKey, topic};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    domain::{self, Account, Decision, Entry, Event, Instrument, Payment, Refusal, State, Wallet},
    metrics,
    outcomes::Outcomes,
    store::{self, CallRow, EntryRow, Wanted, World},
    views, wire,
};

/// This service's reactor.
pub struct Payments {
    pub seal_key: SealKey,
    /// How long a call belongs to this process, in milliseconds.
    pub lease_ms: i64,
    /// Where calls go once they are committed. One that is full leaves them to the sweep.
    pub begun: mpsc::Sender<CallRow>,
    pub outcomes: Outcomes,
}

/// What a message, a provider's answer or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody said something about an order.
    Heard {
        order: OrderId,
        source: Source,
        event: Event,
        trace: Option<Trace>,
    },
    /// The provider answered.
    Answered {
        order: OrderId,
        event: Event,
        trace: Option<Trace>,
    },
    /// Somebody pays what is due.
    Pay {
        order: OrderId,
        instrument: Instrument,
        amount: Option<Money>,
        trace: Option<Trace>,
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

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Stock,
}

impl Reactor for Payments {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::STOCK, topic::ORDERS]
    }

    fn read(&self, message: &Message) -> Result<Option<Reading<Input>>, Park> {
        Ok(wire::read(message, &self.seal_key)?.map(Reading::once))
    }

    async fn load(&self, db: &mut PgConnection, batch: &[&Input]) -> sqlx::Result<World> {
        let mut wanted = Wanted::default();
        for input in batch {
            want(&mut wanted, input);
        }
        store::load(db, wanted).await
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Heard { order, source, .. } = input else { return None };
        let root = world.root_mut(*order)?;
        Some(match source {
            Source::Orders => &mut root.heard_orders,
            Source::Stock => &mut root.heard_stock,
        })
    }

    fn decide(&self, world: &mut World, input: &Input, turn: &Turn) -> Result<Decided, Park> {
        let decided = match input {
            Input::Heard { order, event, trace, .. } | Input::Answered { order, event, trace } => {
                Ok(react(world, *order, event, *trace, turn))
            }
            Input::Pay { order, instrument, amount, trace } => {
                pay(world, *order, (instrument, *amount), *trace, turn)
            }
            Input::OpenAccount { customer, currency } => {
                open_account(world, customer, *currency, turn)
            }
            Input::Deposit { customer, amount } => deposit(world, customer, *amount, turn),
            Input::Hold { customer, order, amount } => hold(world, customer, *order, *amount, turn),
            Input::Release { customer, order } => release(world, customer, *order, turn),
        };
        Ok(decided.unwrap_or_else(|refusal| told(views::refused(&refusal))))
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world, self.lease_ms).await
    }

    fn committed(&self, world: World) {
        let effects = world.effects();
        for call in effects.begun {
            // What finds no room waits for the sweep.
            drop(self.begun.try_send(call));
        }
        self.outcomes.changed(&effects.changed);
        for (outcome, count) in effects.said {
            metrics::payments(outcome, count);
        }
    }
}

/// Names the rows that an input needs.
fn want(wanted: &mut Wanted, input: &Input) {
    match input {
        Input::Heard { order, event, .. } | Input::Answered { order, event, .. } => {
            wanted.orders.insert(*order);
            // A card's charge needs no account; any other customer may pay from one.
            if let Event::StockReserved(due) = event
                && !matches!(due.instrument, Some(Instrument::Card(_)))
            {
                wanted.customers.insert(due.customer.clone());
            }
        }
        Input::Pay { order, .. } => _ = wanted.orders.insert(*order),
        Input::OpenAccount { customer, .. } | Input::Deposit { customer, .. } => {
            wanted.customers.insert(customer.clone());
        }
        Input::Hold { customer, order, .. } | Input::Release { customer, order } => {
            wanted.customers.insert(customer.clone());
            wanted.holds.insert((customer.clone(), *order));
        }
    }
}

fn react(
    world: &mut World,
    order: OrderId,
    event: &Event,
    trace: Option<Trace>,
    turn: &Turn,
) -> Decided {
    let state = state(world, order, event);
    let decision = domain::decide(order, state, event.clone());
    let announced = keep(world, order, decision, trace, turn);
    Decided { announced, answer: Answer::default() }
}

fn pay(
    world: &mut World,
    order: OrderId,
    (instrument, amount): (&Instrument, Option<Money>),
    trace: Option<Trace>,
    turn: &Turn,
) -> Result<Decided, Refusal> {
    let state = state(world, order, &Event::OrderCancelled);
    let decision = domain::pay(state, instrument, amount)?;
    let announced = keep(world, order, decision, trace, turn);
    let root = world.root(order).ok_or(Refusal::UnknownOrder)?;
    Ok(Decided { announced, answer: views::outcome(root) })
}

/// What a decision about an order is made from.
fn state(world: &World, order: OrderId, event: &Event) -> State {
    let payment = world.root(order).map(|root| root.payment.clone());
    let heard = match event {
        Event::StockReserved(due) => Some(&due.customer),
        Event::OrderCancelled | Event::ChargeAnswered { .. } | Event::RefundAnswered { .. } => None,
    };
    let customer = payment.as_ref().and_then(|payment| payment.customer()).or(heard);
    let wallet = customer.map_or_else(Wallet::default, |customer| world.wallet(customer, order));
    State { payment, wallet }
}

/// Keeps a decision, and gives the events that tell it.
fn keep(
    world: &mut World,
    order: OrderId,
    decision: Decision,
    trace: Option<Trace>,
    turn: &Turn,
) -> Vec<Announced> {
    let Decision { state, announce, entries, call } = decision;
    world.put_wallet(order, state.wallet);
    for entry in entries {
        add_entry(world, entry, turn);
    }
    let in_flight = |payment: &Payment| payment.is_in_flight();
    let was_asked = world.root(order).is_some_and(|root| in_flight(&root.payment));
    if was_asked && (call.is_some() || !state.payment.as_ref().is_some_and(in_flight)) {
        world.end_call(order);
    }
    if let Some(call) = call {
        world.begin_call(CallRow { call, trace, attempts: 0 });
    }
    let Some(payment) = state.payment else { return Vec::new() };
    world.put_payment(payment, turn.now);
    announce
        .into_iter()
        .map(|announcement| {
            let version = world.say(order, announcement.outcome());
            service::announce(turn, order.key(), version, wire::announce(order, announcement))
        })
        .collect()
}

fn add_entry(world: &mut World, entry: Entry, turn: &Turn) -> uuid::Uuid {
    let id = turn.new_id();
    world.add_entry(EntryRow { id, entry, at: turn.now });
    id
}

fn open_account(
    world: &mut World,
    customer: &CustomerId,
    currency: Currency,
    turn: &Turn,
) -> Result<Decided, Refusal> {
    if world.account(customer).is_some() {
        return Err(Refusal::AccountExists);
    }
    world.open_account(Account::empty(customer.clone(), currency), turn.now);
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    Ok(told(views::account_opened(row)))
}

fn deposit(
    world: &mut World,
    customer: &CustomerId,
    amount: Money,
    turn: &Turn,
) -> Result<Decided, Refusal> {
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    let (account, entry) = domain::deposit(row.account.clone(), amount)?;
    world.put_account(account);
    let id = add_entry(world, entry, turn);
    let row = world.account(customer).ok_or(Refusal::UnknownAccount)?;
    Ok(told(views::deposited(id, row)))
}

fn hold(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    amount: Money,
    turn: &Turn,
) -> Result<Decided, Refusal> {
    let held = domain::hold(world.wallet(customer, order), order, amount)?;
    let status = if held.1.is_some() { 201 } else { 200 };
    keep_hold(world, customer, order, held, turn).map(|row| told(views::held(status, order, row)))
}

fn release(
    world: &mut World,
    customer: &CustomerId,
    order: OrderId,
    turn: &Turn,
) -> Result<Decided, Refusal> {
    let released = domain::release(world.wallet(customer, order), order)?;
    keep_hold(world, customer, order, released, turn).map(|row| told(views::held(200, order, row)))
}

fn keep_hold<'w>(
    world: &'w mut World,
    customer: &CustomerId,
    order: OrderId,
    (wallet, entry): (Wallet, Option<Entry>),
    turn: &Turn,
) -> Result<&'w store::AccountRow, Refusal> {
    world.put_wallet(order, wallet);
    if let Some(entry) = entry {
        add_entry(world, entry, turn);
    }
    world.account(customer).ok_or(Refusal::UnknownAccount)
}

fn told(answer: Answer) -> Decided {
    Decided { announced: Vec::new(), answer }
}
