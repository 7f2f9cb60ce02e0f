//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, Park, Reactor,
};
use proto::{EventType, topic};
use service_kit::Waiters;
use sqlx::PgConnection;

use crate::{
    commands,
    domain::{Event, decide},
    input::{Fact, Input, Source},
    metrics::Metrics,
    store, wire,
    world::World,
};

/// This service's reactor.
#[derive(Default)]
pub struct Orders {
    pub waiters: Waiters,
    pub metrics: Metrics,
}

impl Reactor for Orders {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS, topic::CATALOGUE]
    }

    fn compacted(&self) -> &'static [&'static str] {
        &[topic::CATALOGUE]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service_kit::is_known(event_type)
    }

    /// Nobody waits for the note that a mail was sent.
    fn may_linger(&self, event_type: &str) -> bool {
        EventType::named(event_type).is_some_and(|it| it.topic == topic::NOTIFICATIONS)
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Input>>, Park> {
        Ok(wire::decode(message)?.map(|input| match input {
            // The highest version wins however often it comes, so a product needs no inbox row.
            Input::ProductChanged(..) => DecodedMessage::repeatable(input),
            _ => DecodedMessage::once(input),
        }))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        store::load(db, batch, locking).await
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        world.held(input)
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Heard(fact) = input else { return None };
        let heard = &mut world.roots.get_mut(&fact.order)?.now.heard;
        Some(match fact.source {
            Source::Stock => &mut heard.stock,
            Source::Payments => &mut heard.payments,
            Source::Notifications => &mut heard.notifications,
        })
    }

    fn decide(
        &self,
        world: &mut World,
        input: &Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        Ok(match input {
            Input::Heard(fact) => react(world, fact, context)?,
            Input::ProductChanged(sku, product) => {
                world.learn(sku, product);
                Effects::default()
            }
            Input::DeadlinePassed(id) => match world.order(*id) {
                Some(order) => {
                    let decision = decide(order, &Event::DeadlinePassed, context.now);
                    // The order was paid or ended after the sweep had found its deadline.
                    if decision.announce.is_none() {
                        return Ok(Effects::default());
                    }
                    Effects { announced: world.apply(decision, context), ..Effects::default() }
                }
                None => Effects::default(),
            },
            Input::Request(request) => commands::execute(world, request, context),
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world).await
    }

    fn committed(&self, world: World) {
        self.waiters.wake(world.changed());
        if world.placed > 0 {
            self.metrics.placed(world.placed);
        }
        for (end, after) in &world.ends {
            self.metrics.ended(*end, *after);
        }
    }
}

/// Applies what another service said to its order, which there has to be.
fn react(world: &mut World, fact: &Fact, context: &DecisionContext) -> Result<Effects, Park> {
    if fact.version < 1 {
        // The history counts each source's events by their versions: an event without a version has
        // no place in it, and what the history does not hold is not applied to the order.
        let reason = "it has no version".to_owned();
        return Err(Park { class: "no_envelope", reason });
    }
    let Some(order) = world.order(fact.order) else {
        let reason = format!("there is no order {}", fact.order);
        return Err(Park { class: "unknown_order", reason });
    };
    let currency = order.present.total.currency();
    if let Event::PaymentCaptured { amount, .. } | Event::PaymentRefunded { amount } = &fact.event
        && amount.currency() != currency
    {
        let reason = format!("{amount} for an order in {currency}");
        return Err(Park { class: "other_currency", reason });
    }
    let decision = decide(order, &fact.event, context.now);
    world.record(fact, context.now);
    Ok(Effects { announced: world.apply(decision, context), ..Effects::default() })
}
