//! The initial state, and every step that may happen next in a state.

use std::sync::Arc;

use inventory_svc::domain::{Shelf, Stock};
use order_svc::domain::{self as orders, Catalogue, Method, Order};
use payment_svc::domain::{Instrument, Operation};
use proto::{Currency, CustomerId, Money, OrderId, Sku, WarehouseId};
use rust_decimal::Decimal;
use stateright::{Model, Property};
use uuid::Uuid;

use crate::{
    covers::COVERS,
    inbox,
    promises::PROMISES,
    rules::{Ground, Rules},
    scenes::{Basket, DeliveryMode, Product, Scene},
    steps::NOW,
    wire,
    world::{Route, World},
};

/// The first order's id, a UUIDv7.
const FIRST_ORDER: u128 = 0x7000_8000_0000_0000_0001;

/// A scene and the rules that it is explored with.
pub(crate) struct Shop {
    pub(crate) scene: &'static Scene,
    pub(crate) rules: Rules,
    /// The orders as they are when they are placed.
    pub(crate) placed: Vec<Order>,
    pub(crate) catalogue: Catalogue,
    /// Whether the events of each route take effect once only, as the hearing service says.
    pub(crate) once: [bool; Route::ALL.len()],
    covering: bool,
}

/// One step; the first number is the index of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Place(usize),
    Cancel(usize),
    /// The customer wants another basket, by its place in the scene.
    Amend(usize, usize),
    /// Staff give money back: all that is left, or one dollar.
    Refund(usize, bool),
    /// `POST /v1/payments`.
    Pay(usize, Instrument),
    /// The customer holds money for the order.
    Hold(usize),
    /// A consumer hears the next message.
    Hear(usize, Route),
    /// A consumer dies at the next message after its first commit, so the message will come again.
    Crash(usize, Route),
    /// A consumer hears an earlier message again: the relay published it twice, or it was replayed.
    HearAgain(usize, Route, u8),
    /// A call reaches the provider, which carries it out or declines it, unless it knows the key.
    Perform(usize, usize, bool),
    /// An answer of the provider arrives; it may have arrived before.
    Answer(usize, usize),
    /// A worker takes a lost answer for a decline: only a mutant does.
    GiveUp(usize, usize),
    DeadlinePassed(usize),
    /// The reservation's time is over.
    HoldRanOut(usize),
    /// The time of a hold of money is over.
    MoneyHoldRanOut(usize),
}

impl Shop {
    pub(crate) fn open(scene: &'static Scene, rules: Rules) -> Self {
        let catalogue = catalogue();
        let placed: Vec<_> =
            (0..scene.orders.len()).map(|place| placed(scene, place, &catalogue)).collect();
        let once = Route::ALL.map(|route| inbox::takes_once(route, &placed[0]));
        Self { scene, rules, placed, catalogue, once, covering: false }
    }

    /// Checks the covers of the scene, too.
    pub(crate) fn covering(mut self) -> Self {
        self.covering = true;
        self
    }

    pub(crate) fn stock(&self) -> Stock {
        let mut stock = Stock::default();
        for (product, shelves) in self.scene.shelves {
            for (place, on_hand) in shelves.iter().enumerate() {
                let warehouse = WarehouseId::parse(&format!("w{place}")).unwrap();
                let there = Shelf { on_hand: *on_hand, ..Shelf::default() };
                stock.set(sku(*product), warehouse, there);
            }
        }
        stock
    }

    /// Whether nothing is left that will happen by itself.
    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        let lives = world.lives.iter().zip(self.scene.orders);
        lives.into_iter().all(|(life, wish)| life.is_quiet(wish.clocks))
    }
}

impl Model for Shop {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let lives = self.placed.iter().map(|_| Arc::default()).collect();
        let accounts = (0..self.scene.accounts.len()).map(|place| self.account(place)).collect();
        let mut world = World { lives, stock: self.stock().into(), accounts: Arc::new(accounts) };
        for (at, wish) in self.scene.orders.iter().enumerate() {
            // An order that is delivered step by step is placed at once, since nobody has to hear
            // of it yet; another order comes at any moment.
            if wish.hearing != DeliveryMode::AtOnce {
                self.place(&mut world, at);
            }
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (at, life) in world.lives.iter().enumerate() {
            let Some(order) = &life.order else {
                actions.push(Action::Place(at));
                continue;
            };
            actions.push(Action::Cancel(at));
            if self.scene.orders[at].hearing == DeliveryMode::AtOnce {
                continue;
            }
            if order.method == Method::Deferred {
                actions.push(Action::Pay(at, Instrument::Wallet));
                actions.push(Action::Pay(at, wire::card()));
            }
            if self.scene.orders[at].holds {
                actions.push(Action::Hold(at));
            }
            let (baskets, times) = self.scene.orders[at].amendments;
            if life.amendments() < times {
                actions.extend((0..baskets.len()).map(|basket| Action::Amend(at, basket)));
            }
            let refunds = self.scene.orders[at].refunds;
            if life.refunds().is_some_and(|begun| begun < refunds) {
                actions.extend([Action::Refund(at, true), Action::Refund(at, false)]);
            }
            for route in Route::ALL {
                if life.has_news(route) {
                    actions.push(Action::Hear(at, route));
                    // One consumer at a time: a repetition meets nothing that another one changes.
                    let may_crash = self.scene.orders[at].hearing == DeliveryMode::WithCrashes;
                    if may_crash && !world.is_behind() && self.is_heard(life, at, route) {
                        actions.push(Action::Crash(at, route));
                    }
                }
                let heard = 0..life.readers[route.place()].position;
                actions.extend(heard.map(|index| Action::HearAgain(at, route, index)));
            }
            for (place, call) in life.calls.iter().enumerate() {
                actions.push(Action::Perform(at, place, true));
                if refunds > 0 || matches!(call.operation, Operation::Charge { .. }) {
                    actions.push(Action::Perform(at, place, false));
                }
            }
            for which in 0..life.provider.len() {
                actions.push(Action::Answer(at, which));
                if !self.rules.grant(Ground::Patience) {
                    actions.push(Action::GiveUp(at, which));
                }
            }
            // Sweeps act on what they read before: the row may be gone since.
            let clocks = self.scene.orders[at].clocks;
            if clocks && order.stock.reserved.is_some() {
                actions.push(Action::DeadlinePassed(at));
            }
            if clocks && !life.said.stock.is_empty() {
                actions.push(Action::HoldRanOut(at));
            }
            if clocks && life.hold.is_some() {
                actions.push(Action::MoneyHoldRanOut(at));
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        self.act(&mut world, action);
        for (at, wish) in self.scene.orders.iter().enumerate() {
            if wish.hearing == DeliveryMode::AtOnce {
                self.settle(&mut world, at);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let promises = PROMISES.iter().map(|(name, holds)| Property::<Self>::always(name, *holds));
        let covers = COVERS
            .iter()
            .filter(|(name, _)| self.covering && self.scene.covers.contains(name))
            .map(|(name, seen)| Property::<Self>::sometimes(name, *seen));
        promises.chain(covers).collect()
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.lives.iter().all(|life| life.longest_log() <= self.scene.enough())
    }
}

fn catalogue() -> Catalogue {
    let product = |product: Product| {
        let (name, price) = (product.name().into(), dollars(product.price()));
        (sku(product), orders::Product { name, price, available: 9, version: 1 })
    };
    Product::ALL.map(product).into()
}

/// The lines of a request for a basket.
pub(crate) fn lines(basket: Basket) -> Vec<orders::LineRequest> {
    let line = |(product, quantity): &(Product, u32)| orders::LineRequest::Product {
        sku: sku(*product),
        quantity: *quantity,
        seen: None,
    };
    basket.iter().map(line).collect()
}

fn placed(scene: &Scene, place: usize, catalogue: &Catalogue) -> Order {
    let wish = &scene.orders[place];
    let request = orders::OrderRequest {
        id: OrderId::new(Uuid::from_u128(FIRST_ORDER + u128::try_from(place).unwrap())),
        customer: CustomerId::parse(&format!("c{}", wish.account)).unwrap(),
        currency: Currency::USD,
        lines: lines(wish.lines).into(),
        method: wish.method,
        pay_within: time::Duration::ZERO,
    };
    orders::place(&request, catalogue, NOW).unwrap().order
}

fn sku(product: Product) -> Sku {
    Sku::parse(product.name()).unwrap()
}

pub(crate) fn dollars(amount: u32) -> Money {
    Money::new(Decimal::from(amount), Currency::USD).unwrap()
}
