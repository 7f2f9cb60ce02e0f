//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::time::Duration;

use mailbox::{
    OutboxEvent, Answer, Effects, HeldRow, LockPolicy, Message, Park, Reactor, Incoming, Trace, DecisionContext,
};
use proto::{CustomerId, OrderId, SealKey, topic};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    commands::{self, Request},
    domain::{self, Decision, LedgerEntry, Event, Instrument, Payment, State, Wallet},
    metrics,
    outcomes::Outcomes,
    store::{self, CallRow, EntryRow, RowsToLock, World},
    wire,
};

/// This service's reactor.
pub struct Payments {
    pub seal_key: SealKey,
    /// How long a call belongs to this process.
    pub lease: Duration,
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
        /// Whose order it is: that customer may hold money for it, or pay from an account.
        customer: Option<CustomerId>,
        event: Event,
        trace: Option<Trace>,
    },
    /// The provider answered one who had taken the call over `attempts` times.
    Answered { order: OrderId, event: Event, attempts: i32, trace: Option<Trace> },
    /// Somebody asks for something.
    Asked(Request, Option<Trace>),
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

    fn is_known(&self, event_type: &str) -> bool {
        service::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<Incoming<Input>>, Park> {
        Ok(wire::read(message, &self.seal_key)?.map(Incoming::once))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        let mut wanted = RowsToLock::default();
        for input in batch {
            want(&mut wanted, input);
        }
        store::load(db, wanted, locking, self.lease).await
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        let mut wanted = RowsToLock::default();
        want(&mut wanted, input);
        world.held(&wanted)
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Heard { order, source, .. } = input else { return None };
        let root = world.root_mut(*order)?;
        Some(match source {
            Source::Orders => &mut root.heard_orders,
            Source::Stock => &mut root.heard_stock,
        })
    }

    fn decide(&self, world: &mut World, input: &Input, context: &DecisionContext) -> Result<Effects, Park> {
        Ok(match input {
            Input::Heard { order, customer, event, trace, .. } => {
                let state = state(world, *order, customer.as_ref());
                told(react(world, *order, (state, event), *trace, context))
            }
            // Whoever holds the call now finds out by itself.
            Input::Answered { order, event, attempts, .. }
                if event.is_negative() && !world.is_held(*order, *attempts) =>
            {
                Effects::default()
            }
            Input::Answered { order, event, trace, .. } => {
                let state = state(world, *order, None);
                told(react(world, *order, (state, event), *trace, context))
            }
            Input::Asked(request, trace) => commands::execute(world, request, *trace, context),
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world, self.lease).await
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
fn want(wanted: &mut RowsToLock, input: &Input) {
    match input {
        Input::Heard { order, customer, event, .. } => {
            wanted.orders.insert(*order);
            // A card's charge needs no account yet; anything else may pay from one, or end a hold.
            let by_card = matches!(event, Event::StockReserved(due)
                if matches!(due.instrument, Some(Instrument::Card(_))));
            if !by_card {
                wanted.customers.extend(customer.clone());
            }
        }
        Input::Answered { order, event, .. } => {
            wanted.orders.insert(*order);
            if event.is_negative() {
                wanted.calls.insert(*order);
            }
        }
        Input::Asked(request, _) => request.want(wanted),
    }
}

fn told(announced: Vec<OutboxEvent>) -> Effects {
    Effects { announced, answer: Answer::default() }
}

fn react(
    world: &mut World,
    order: OrderId,
    (state, event): (State, &Event),
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Vec<OutboxEvent> {
    let decision = domain::decide(order, state, event.clone());
    keep(world, order, decision, trace, context)
}

/// What a decision about an order is made from: `customer` is whose it is, if that is not known.
pub(crate) fn state(world: &World, order: OrderId, customer: Option<&CustomerId>) -> State {
    let payment = world.root(order).map(|root| root.payment.clone());
    let customer = payment.as_ref().and_then(Payment::customer).or(customer);
    let wallet = customer.map_or_else(Wallet::default, |customer| world.wallet(customer, order));
    State { payment, wallet }
}

/// Keeps a decision, and gives the events that tell it.
pub(crate) fn keep(
    world: &mut World,
    order: OrderId,
    decision: Decision,
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Vec<OutboxEvent> {
    let Decision { state, announce, entries, call } = decision;
    world.put_wallet(order, state.wallet);
    for entry in entries {
        add_entry(world, entry, context);
    }
    let in_flight = |payment: &Payment| payment.is_in_flight();
    let was_asked = world.root(order).is_some_and(|root| in_flight(&root.payment));
    if was_asked && (call.is_some() || !state.payment.as_ref().is_some_and(in_flight)) {
        world.end_call(order);
    }
    if let Some(call) = call {
        world.begin_call(call, trace);
    }
    let Some(payment) = state.payment else { return Vec::new() };
    world.put_payment(payment, context.now);
    announce
        .into_iter()
        .map(|announcement| {
            let version = world.say(order, announcement.outcome());
            service::announce(context, order.key(), version, wire::announce(order, announcement))
        })
        .collect()
}

pub(crate) fn add_entry(world: &mut World, entry: LedgerEntry, context: &DecisionContext) -> uuid::Uuid {
    let id = context.new_id();
    world.add_entry(EntryRow { id, entry });
    id
}
