//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use mailbox::{OutboxEvent, Effects, HeldRow, LockPolicy, Message, Park, Reactor, Incoming, DecisionContext};
use proto::{OrderId, Sku, WarehouseId, orders, topic};
use sqlx::PgConnection;
use time::Duration;

use crate::{
    commands::{self, Request},
    domain::{Event, Reservation, catalogue, decide},
    metrics, store, wire,
    world::{Kept, Root, World},
};

/// This service's reactor.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// How long pieces are held before it is said that their time is over.
    pub hold: Duration,
}

/// What a message, the sweep or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    /// order-svc said something about an order. The terms are only passed on.
    Order { order: OrderId, event: Event, terms: Option<Box<orders::Terms>> },
    /// The sweep found that an order's hold is over.
    HoldRanOut(OrderId),
    /// The catalogue's topic has lost what was said of a product.
    SayAnew(Sku),
    /// Somebody asks for something.
    Request(Request),
}

impl Input {
    fn order(&self) -> Option<OrderId> {
        match self {
            Self::Order { order, .. } | Self::HoldRanOut(order) => Some(*order),
            Self::SayAnew(_) | Self::Request(_) => None,
        }
    }

    /// The SKUs that it names itself; those of a reservation come from its row.
    fn skus(&self) -> Vec<&Sku> {
        match self {
            Self::Order { event: Event::OrderPlaced { lines, .. }, .. } => {
                lines.iter().map(|line| &line.sku).collect()
            }
            Self::Order { .. } | Self::HoldRanOut(_) => Vec::new(),
            Self::SayAnew(sku) => vec![sku],
            Self::Request(request) => request.skus(),
        }
    }
}

impl Reactor for Inventory {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::ORDERS]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<Incoming<Input>>, Park> {
        Ok(wire::read(message, self.hold)?.map(Incoming::once))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        let mut world = World::default();
        load_roots(db, batch, &mut world, locking).await?;
        load_products(db, batch, &mut world, locking).await?;
        Ok(world)
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        if let Some(order) = input.order()
            && world.held_reservations.contains(&order)
        {
            return Some(HeldRow::new("reservation", order.to_string()));
        }
        let root = input.order().and_then(|order| world.roots.get(&order));
        let mut skus = input.skus().into_iter().chain(root.into_iter().flat_map(skus_of));
        let sku = skus.find(|sku| world.held_products.contains(*sku))?;
        Some(HeldRow::new("product", sku.to_string()))
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Order { order, .. } = input else { return None };
        Some(&mut world.roots.get_mut(order)?.now.heard)
    }

    fn decide(&self, world: &mut World, input: &Input, context: &DecisionContext) -> Result<Effects, Park> {
        Ok(match input {
            Input::Order { order, event, terms } => {
                react(world, *order, event, terms.as_deref(), context)
            }
            Input::HoldRanOut(order) => react(world, *order, &Event::HoldRanOut, None, context),
            Input::SayAnew(sku) => {
                let World { products, to_say, .. } = world;
                if let Some(kept) = products.get_mut(sku) {
                    kept.now.version += i64::from(to_say.insert(sku.clone()));
                }
                Effects::default()
            }
            Input::Request(request) => {
                Effects { announced: Vec::new(), answer: commands::answer(world, request, context) }
            }
        })
    }

    /// A product is said at most once for a batch, however many of its inputs changed it.
    fn closing(&self, world: &mut World, context: &DecisionContext) -> Vec<OutboxEvent> {
        let World { products, stock, to_say, said, .. } = world;
        let mut announced = Vec::new();
        for (sku, Kept { now: product, .. }) in products {
            let available = stock.available(sku);
            let certain = to_say.contains(sku);
            if certain || catalogue::matters(product.said_available, available) {
                product.version += i64::from(!certain);
                product.said_available = available;
                let event = wire::product_changed(product);
                *said.entry(event.event_type().name).or_default() += 1;
                let key = sku.as_str().as_bytes().to_vec();
                announced.push(service::announce(context, key, product.version, event));
            }
        }
        announced
    }

    fn committed(&self, world: World) {
        metrics::said(&world.said);
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save::world(db, world).await
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
    let root = &mut roots.entry(order).or_insert_with(|| Kept::new(Root::default())).now;
    let decision = decide(mem::take(&mut root.state), event, stock, context.now);
    root.state = decision.state;
    if let Some((motion, allocations)) = decision.motion {
        stock.apply(motion, &allocations);
    }
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        let event = wire::announce(order, announcement, terms);
        *said.entry(event.event_type().name).or_default() += 1;
        service::announce(context, order.key(), root.version, event)
    });
    Effects { announced: announced.into_iter().collect(), ..Effects::default() }
}

async fn load_roots(
    db: &mut PgConnection,
    batch: &[&Input],
    world: &mut World,
    locking: LockPolicy,
) -> sqlx::Result<()> {
    let mut orders: BTreeSet<OrderId> = batch.iter().filter_map(|input| input.order()).collect();
    if orders.is_empty() {
        return Ok(());
    }
    if locking == LockPolicy::SkipHeld {
        let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
        world.held_reservations.extend(store::held_reservations(db, &ids).await?);
        orders.retain(|order| !world.held_reservations.contains(order));
    }
    let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
    let found = store::lock_reservations(db, &ids).await?;
    world.roots = orders.into_iter().map(|order| (order, Kept::new(Root::default()))).collect();
    world.roots.extend(found.into_iter().map(|(order, root)| (order, Kept::found(root))));
    Ok(())
}

async fn load_products(
    db: &mut PgConnection,
    batch: &[&Input],
    world: &mut World,
    locking: LockPolicy,
) -> sqlx::Result<()> {
    let mut skus: BTreeSet<&Sku> = batch.iter().flat_map(|input| input.skus()).collect();
    skus.extend(world.roots.values().flat_map(skus_of));
    let mut skus: Vec<String> = skus.into_iter().map(ToString::to_string).collect();
    if locking == LockPolicy::SkipHeld && !skus.is_empty() {
        let held = store::held_products(db, &skus).await?;
        skus.retain(|sku| !held.iter().any(|held| held.as_str() == sku));
        world.held_products.extend(held);
    }
    if !skus.is_empty() {
        let products = store::lock_products(db, &skus).await?;
        world.products =
            products.into_iter().map(|row| (row.sku.clone(), Kept::found(row))).collect();
        let shelves = store::shelves(db, &skus).await?;
        if is_split(&shelves) {
            load_warehouses(db, world).await?;
        }
        for (sku, warehouse, mut shelf) in shelves {
            shelf.priority = world.warehouses.get(&warehouse).map_or(0, |kept| kept.now.priority);
            world.found_shelf(sku, warehouse, shelf);
        }
    }
    let names_one =
        |input: &&Input| matches!(input, Input::Request(asked) if asked.names_warehouse());
    if world.warehouses.is_empty() && batch.iter().any(names_one) {
        load_warehouses(db, world).await?;
    }
    Ok(())
}

/// The SKUs of which an order has pieces that may still move.
fn skus_of(Kept { now: root, .. }: &Kept<Root>) -> impl Iterator<Item = &Sku> {
    let allocations = match &root.state {
        Reservation::Held { allocations, .. } | Reservation::Sold { allocations, .. } => {
            allocations.as_slice()
        }
        Reservation::Unheard | Reservation::Rejected { .. } | Reservation::Released { .. } => &[],
    };
    allocations.iter().map(|allocation| &allocation.sku)
}

/// Whether some SKU lies in several places, so that their priorities are needed.
fn is_split(shelves: &[store::PlacedShelf]) -> bool {
    let mut first: BTreeMap<&Sku, &WarehouseId> = BTreeMap::new();
    shelves.iter().any(|(sku, warehouse, _)| first.insert(sku, warehouse).is_some())
}

async fn load_warehouses(db: &mut PgConnection, world: &mut World) -> sqlx::Result<()> {
    let rows = store::warehouses(db).await?;
    world.warehouses = rows.into_iter().map(|(id, row)| (id, Kept::found(row))).collect();
    Ok(())
}
