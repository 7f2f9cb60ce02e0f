//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::mem;

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, OutboxEvent, Park,
    Reactor, Tracked,
};
use proto::{EventType, ReservationId, topic};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use crate::{
    commands,
    domain::{Event, ManualDecision, catalogue, decide},
    input::{Fact, Input},
    metrics, store, wire,
    world::World,
};

/// This service's reactor.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// How long pieces are held before it is announced that their time is over.
    pub hold: Duration,
}

impl Reactor for Inventory {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::ORDERS]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service_kit::is_known(event_type)
    }

    /// Nobody waits until held pieces count as sold.
    fn may_linger(&self, event_type: &str) -> bool {
        EventType::named(event_type).is_some_and(|it| it.name == "OrderConfirmed")
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Input>>, Park> {
        Ok(wire::decode(message, self.hold)?.map(DecodedMessage::once))
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
        Some(&mut world.roots.get_mut(&fact.order)?.now.heard_orders)
    }

    fn decide(
        &self,
        world: &mut World,
        input: &Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        Ok(match input {
            Input::Heard(fact) => react(world, fact, context),
            Input::HoldRanOut(order) => {
                let fact = Fact::of(*order, Event::HoldRanOut);
                react(world, &fact, context)
            }
            Input::ReservationRanOut(id) => {
                expire(world, *id, context.now);
                Effects::default()
            }
            Input::SayAnew(sku) => {
                world.say(sku);
                Effects::default()
            }
            Input::Request(request) => commands::execute(world, request, context),
        })
    }

    /// Announces each product at most once for a batch, however many of its inputs changed it.
    fn closing(&self, world: &mut World, context: &DecisionContext) -> Vec<OutboxEvent> {
        let World { products, stock, to_say, said, .. } = world;
        let mut announced = Vec::new();
        for (sku, Tracked { now: product, .. }) in products {
            let available = stock.available(sku);
            let has_to_be_said = to_say.contains(sku);
            if has_to_be_said || catalogue::matters(product.said_available, available) {
                product.version += i64::from(!has_to_be_said);
                product.said_available = available;
                let event = wire::product_changed(product);
                *said.entry(event.event_type().name).or_default() += 1;
                let key = sku.as_str().as_bytes().to_vec();
                announced.push(service_kit::announce(context, key, product.version, event));
            }
        }
        announced
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world).await
    }

    fn committed(&self, world: World) {
        metrics::said(&world.said);
    }
}

/// Applies one event to an order's reservation and to the shelves.
fn react(world: &mut World, fact: &Fact, context: &DecisionContext) -> Effects {
    let Fact { order, customer, event, terms } = fact;
    let World { roots, stock, .. } = world;
    let tracked = roots.entry(*order).or_default();
    if tracked.is_new() {
        tracked.now.customer = tracked.now.customer.take().or_else(|| customer.clone());
    }
    let root = &mut tracked.now;
    let reservation = *root.id.get_or_insert_with(|| ReservationId::new(context.new_id()));
    let decision = decide(mem::take(&mut root.state), event, stock, context.now);
    root.state = decision.state;
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        let event = wire::encode((*order, reservation), announcement, terms.as_ref());
        *world.said.entry(event.event_type().name).or_default() += 1;
        service_kit::announce(context, order.key(), root.version, event)
    });
    world.apply(&decision.motions);
    Effects { announced: announced.into_iter().collect(), ..Effects::default() }
}

/// Ends a reservation without an order if its time is over.
fn expire(world: &mut World, id: ReservationId, now: OffsetDateTime) {
    let Some(row) = world.manual.get_mut(&id) else { return };
    if let Some(ManualDecision { reservation, motions }) = row.now.expire(now) {
        row.now = reservation;
        world.apply(&motions);
    }
}
