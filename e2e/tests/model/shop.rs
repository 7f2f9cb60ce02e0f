//! What may happen next, from the first moment on.

use std::{collections::BTreeMap, sync::Arc};

use inventory_svc::domain::{Shelf, Stock};
use order_svc::domain::{self as orders, Method, Order};
use payment_svc::domain::{Instrument, Operation};
use proto::{Currency, CustomerId, Money, OrderId, Sku, WarehouseId};
use rust_decimal::Decimal;
use stateright::{Model, Property};
use uuid::Uuid;

use crate::{
    covers::COVERS,
    promises::PROMISES,
    rules::Rules,
    scenes::Scene,
    steps::NOW,
    wire,
    world::{Route, World},
};

/// More of anything than this is a mutant running in circles.
const ENOUGH: usize = 8;

/// A scene and the rules it is played by.
pub(crate) struct Shop {
    pub(crate) scene: &'static Scene,
    pub(crate) rules: Rules,
    /// The orders as they are placed.
    pub(crate) placed: Vec<Order>,
    covering: bool,
}

/// One step. The number is the order's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Place(usize),
    Cancel(usize),
    /// `POST /v1/payments`.
    Pay(usize, Instrument),
    /// A consumer hears the next message.
    Hear(usize, Route),
    /// A consumer hears an earlier message again: it went back, or the relay sent it twice.
    HearAgain(usize, Route, u8),
    /// A call arrives at the provider, which says yes or no if it does not know the key.
    Perform(usize, usize, bool),
    /// An answer of the provider arrives, perhaps not for the first time.
    Answer(usize, usize),
    /// An answer of the provider is lost.
    Lose(usize, usize),
    DeadlinePassed(usize),
    HoldRanOut(usize),
}

impl Shop {
    pub(crate) fn open(scene: &'static Scene, rules: Rules) -> Self {
        let placed = (0..scene.orders.len()).map(|place| placed(scene, place)).collect();
        Self { scene, rules, placed, covering: false }
    }

    /// Asks for what has to be seen, too.
    pub(crate) fn covering(mut self) -> Self {
        self.covering = true;
        self
    }

    pub(crate) fn stock(&self) -> Stock {
        let mut stock = Stock::default();
        for (place, on_hand) in self.scene.shelves.iter().enumerate() {
            let warehouse = WarehouseId::parse(&format!("w{place}")).unwrap();
            stock.set(sku(), warehouse, Shelf { on_hand: *on_hand, ..Shelf::default() });
        }
        stock
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
            // Nobody has to hear of it yet; a rival comes when it likes.
            if !wish.brisk {
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
            if self.scene.orders[at].brisk {
                continue;
            }
            if order.method == Method::Deferred {
                actions.push(Action::Pay(at, Instrument::Wallet));
                actions.push(Action::Pay(at, wire::card()));
            }
            for route in Route::ALL {
                if life.has_news(route) {
                    actions.push(Action::Hear(at, route));
                }
                let heard = 0..life.readers[route.place()].position;
                actions.extend(heard.map(|index| Action::HearAgain(at, route, index)));
            }
            for (place, call) in life.calls.iter().enumerate() {
                actions.push(Action::Perform(at, place, true));
                if matches!(call.operation, Operation::Charge { .. }) {
                    actions.push(Action::Perform(at, place, false));
                }
            }
            for which in 0..life.provider.len() {
                actions.push(Action::Answer(at, which));
                actions.push(Action::Lose(at, which));
            }
            // Sweeps act on what they read a moment ago: the row may have gone since.
            let clocks = self.scene.orders[at].clocks;
            if clocks && order.pay_by.is_some() {
                actions.push(Action::DeadlinePassed(at));
            }
            if clocks && !life.said.stock.is_empty() {
                actions.push(Action::HoldRanOut(at));
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        self.act(&mut world, action);
        for (at, wish) in self.scene.orders.iter().enumerate() {
            if wish.brisk {
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
        world.lives.iter().all(|life| {
            let most = life.history.iter().copied().max().map_or(0, usize::from);
            let logs = [life.said.stock.len(), life.said.payments.len(), life.provider.len(), most];
            logs.into_iter().all(|length| length < ENOUGH)
        })
    }
}

fn placed(scene: &Scene, place: usize) -> Order {
    let wish = &scene.orders[place];
    let product =
        orders::Product { name: "mug".into(), price: dollars(1), available: 9, version: 1 };
    let catalogue = BTreeMap::from([(sku(), product)]);
    let line = orders::Wanted::Product { sku: sku(), quantity: wish.quantity, seen: None };
    let request = orders::Request {
        id: OrderId::new(Uuid::from_u128(u128::try_from(place).unwrap() + 1)),
        customer: CustomerId::parse(&format!("c{}", wish.account)).unwrap(),
        currency: Currency::USD,
        lines: vec![line],
        method: wish.method,
        note: "".into(),
    };
    orders::place(&request, &catalogue, NOW).unwrap().order
}

fn sku() -> Sku {
    Sku::parse("mug").unwrap()
}

pub(crate) fn dollars(amount: u32) -> Money {
    Money::new(Decimal::from(amount), Currency::USD).unwrap()
}
