//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::time::Duration;

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, OutboxEvent, Park,
    Reactor, Trace,
};
use proto::{OrderId, SealKeyRing, topic};
use service_kit::Waiters;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    apply::{keep, state},
    commands,
    domain::{self, Event, State},
    input::{Fact, Input, Source},
    metrics,
    provider::CardRouting,
    store, wire,
    world::{CallRow, World},
};

/// This service's reactor.
pub struct Payments {
    /// Opens what order-svc sealed, and seals the tokens in this service's own rows.
    pub seal_key: SealKeyRing,
    /// Which provider a new card is charged through.
    pub routing: CardRouting,
    /// How long a call that a batch begins is leased to this process.
    pub lease: Duration,
    /// Where calls go once they are committed. When this queue is full, calls are left to the
    /// sweep.
    pub begun: mpsc::Sender<CallRow>,
    pub waiters: Waiters,
}

impl Reactor for Payments {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::STOCK, topic::ORDERS]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service_kit::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Input>>, Park> {
        Ok(wire::decode(message, &self.seal_key, self.routing)?.map(DecodedMessage::once))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        store::load(db, batch, locking, self.lease, &self.seal_key).await
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        world.held(input)
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Heard(fact) = input else { return None };
        let root = world.root_mut(fact.order)?;
        Some(match fact.source {
            Source::Orders => &mut root.heard_orders,
            Source::Stock => &mut root.heard_stock,
        })
    }

    fn decide(
        &self,
        world: &mut World,
        input: &Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        Ok(match input {
            Input::Heard(fact) => {
                let Fact { order, customer, event, trace, .. } = &**fact;
                let state = state(world, *order, customer.as_ref());
                effects(react(world, *order, (state, event), *trace, context))
            }
            // No money moved, and another process holds the call now: it will get the answer
            // itself.
            Input::Answered { order, event, attempts, .. }
                if event.is_negative() && !world.is_held(*order, *attempts) =>
            {
                Effects::default()
            }
            Input::Answered { order, event, trace, .. } => {
                let state = state(world, *order, None);
                effects(react(world, *order, (state, event), *trace, context))
            }
            Input::Request(request) => commands::execute(world, request, context),
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world, self.lease, &self.seal_key).await
    }

    fn committed(&self, world: World) {
        let after = world.after_commit();
        for call in after.begun {
            // A call that finds no room in the queue waits for the sweep.
            drop(self.begun.try_send(call));
        }
        self.waiters.wake(after.changed);
        for (outcome, count) in after.said {
            metrics::payments(outcome, count);
        }
    }
}

fn effects(announced: Vec<OutboxEvent>) -> Effects {
    Effects { announced, ..Effects::default() }
}

fn react(
    world: &mut World,
    order: OrderId,
    (state, event): (State, &Event),
    trace: Option<Trace>,
    context: &DecisionContext,
) -> Vec<OutboxEvent> {
    let decision = domain::decide(state, event, order);
    keep(world, order, decision, trace, context)
}
