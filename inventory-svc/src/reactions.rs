//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::mem;

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, OutboxEvent, Park,
    Reactor, Tracked,
};
use proto::{OrderId, orders, topic};
use sqlx::PgConnection;
use time::Duration;

use crate::{
    commands,
    domain::{Event, catalogue, decide},
    input::{Fact, Input},
    metrics, store, wire,
    world::{Root, World},
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
            Input::Heard(fact) => {
                let Fact { order, event, terms } = &**fact;
                react(world, *order, event, terms.as_ref(), context)
            }
            Input::HoldRanOut(order) => react(world, *order, &Event::HoldRanOut, None, context),
            Input::SayAnew(sku) => {
                let World { products, to_say, .. } = world;
                if let Some(product) = products.get_mut(sku) {
                    product.now.version += i64::from(to_say.insert(sku.clone()));
                }
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
            let certain = to_say.contains(sku);
            if certain || catalogue::matters(product.said_available, available) {
                product.version += i64::from(!certain);
                product.said_available = available;
                let event = wire::product_changed(product);
                *said.entry(event.event_type().name).or_default() += 1;
                let key = sku.as_str().as_bytes().to_vec();
                announced.push(service_kit::announce(context, key, product.version, event));
            }
        }
        announced
    }

    fn committed(&self, world: World) {
        metrics::said(&world.said);
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world).await
    }
}

/// Applies one event to an order's reservation and to the shelves.
fn react(
    world: &mut World,
    order: OrderId,
    event: &Event,
    terms: Option<&orders::Terms>,
    context: &DecisionContext,
) -> Effects {
    let World { roots, stock, said, .. } = world;
    let root = &mut roots.entry(order).or_insert_with(|| Tracked::new(Root::default())).now;
    let decision = decide(mem::take(&mut root.state), event, stock, context.now);
    root.state = decision.state;
    if let Some((motion, allocations)) = decision.motion {
        stock.apply(motion, &allocations);
    }
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        let event = wire::encode(order, announcement, terms);
        *said.entry(event.event_type().name).or_default() += 1;
        service_kit::announce(context, order.key(), root.version, event)
    });
    Effects { announced: announced.into_iter().collect(), ..Effects::default() }
}
