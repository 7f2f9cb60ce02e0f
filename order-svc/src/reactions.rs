//! The thin shell: what messages and commands mean, and the rows they touch.

use std::{collections::BTreeSet, sync::Arc};

use axum::http::HeaderMap;
use chassis::{Code, Problem, http};
use mailbox::{Answer, Effects, HeldRow, LockPolicy, Message, Park, Reactor, Incoming, DecisionContext};
use proto::{OrderId, Sku, orders::Sealed, topic};
use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use crate::{
    domain::{By, Catalogue, Event, Order, Product, Request, LineRequest, cancel, decide, place},
    http::refusals,
    metrics::Metrics,
    pressure, store,
    views::OrderView,
    waiters::Waiters,
    wire::{self, About, Heard, Source},
    world::{News, World},
};

/// The status that asks the handler to look again: never told to a client, and not kept under a
/// key.
pub const LOOK_AGAIN: u16 = 425;

/// The order service's reactor.
#[derive(Default)]
pub struct Orders {
    /// How long an order may wait for its payment once its stock is reserved.
    pub pay_within: Duration,
    pub waiters: Waiters,
    pub metrics: Metrics,
}

/// What this service decides about.
#[derive(Debug)]
pub enum Input {
    /// Somebody places an order.
    Place(PlaceOrder),
    /// Somebody cancels one.
    Cancel(CancelOrder),
    /// An event about an order.
    Heard(Fact),
    /// A product as it now is.
    Told(Sku, Product),
    /// The sweep found an order whose time to pay is over.
    DeadlinePassed(OrderId),
}

impl Input {
    /// The order whose row it needs.
    fn order(&self) -> Option<OrderId> {
        match self {
            Self::Cancel(CancelOrder { order, .. }) | Self::DeadlinePassed(order) => Some(*order),
            Self::Heard(fact) => Some(fact.about.order),
            Self::Place(_) | Self::Told(..) => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct PlaceOrder {
    pub request: Arc<Request>,
    /// A card's details, for payment-svc alone.
    pub details: Option<Sealed>,
    pub trace_id: Option<[u8; 16]>,
    /// What the catalogue refuses is final; otherwise it may merely be behind.
    pub is_last_look: bool,
    /// By what name each line called its product, for refusals that point at it.
    pub names: Arc<[&'static str]>,
    /// Not when too much waits: then only a first answer under the key is told again.
    pub is_admitted: bool,
}

#[derive(Clone, Debug)]
pub struct CancelOrder {
    pub order: OrderId,
    pub by: By,
    pub text: Arc<str>,
    /// The state that the caller wants to cancel, as `If-Match` names it.
    pub conditions: HeaderMap,
}

/// An event about an order, with what its history needs.
#[derive(Debug)]
pub struct Fact {
    about: Box<About>,
    event_id: Uuid,
    version: i64,
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
        service::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<Incoming<Input>>, Park> {
        Ok(wire::read(message, self.pay_within)?.map(|heard| match heard {
            Heard::Order(about) => {
                let (event_id, version) = (message.event_id, message.version);
                Incoming::once(Input::Heard(Fact { about, event_id, version }))
            }
            // The highest version wins, however often it comes.
            Heard::Product { sku, product } => Incoming::repeatable(Input::Told(sku, product)),
        }))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        let (mut orders, mut skus) = (BTreeSet::new(), BTreeSet::new());
        for input in batch {
            orders.extend(input.order().map(OrderId::uuid));
            if let Input::Place(placing) = input {
                skus.extend(wanted(&placing.request));
            }
        }
        let mut ids: Vec<Uuid> = orders.into_iter().collect();
        let held = match locking {
            LockPolicy::SkipHeld if !ids.is_empty() => store::held(db, &ids).await?,
            LockPolicy::SkipHeld | LockPolicy::Wait => Vec::new(),
        };
        ids.retain(|id| !held.iter().any(|order| order.uuid() == *id));
        let skus: Vec<&str> = skus.into_iter().collect();
        let found = if ids.is_empty() { Vec::new() } else { store::lock(db, &ids).await? };
        let known =
            if skus.is_empty() { Catalogue::new() } else { store::products(db, &skus).await? };
        let mut world = World::new(found, known);
        world.held = held;
        Ok(world)
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        let order = input.order().filter(|order| world.held.contains(order))?;
        Some(HeldRow::new("order", order.to_string()))
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Heard(fact) = input else { return None };
        let heard = world.heard(fact.about.order)?;
        Some(match fact.about.source {
            Source::Stock => &mut heard.stock,
            Source::Payments => &mut heard.payments,
            Source::Notifications => &mut heard.notifications,
        })
    }

    fn decide(&self, world: &mut World, input: &Input, context: &DecisionContext) -> Result<Effects, Park> {
        Ok(match input {
            Input::Place(placing) => placed(world, placing, context),
            Input::Cancel(cancelling) => cancelled(world, cancelling, context),
            Input::Heard(fact) => heard(world, fact, context)?,
            Input::Told(sku, product) => {
                world.tell(sku, product);
                Effects::default()
            }
            Input::DeadlinePassed(id) => match world.order(*id) {
                Some(order) => {
                    let decision = decide(order, &Event::DeadlinePassed, context.now);
                    // Paid or ended since the sweep looked.
                    if decision.announce.is_none() {
                        return Ok(Effects::default());
                    }
                    Effects { announced: world.apply(decision, context), ..Effects::default() }
                }
                None => Effects::default(),
            },
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        world.save(db).await
    }

    fn committed(&self, world: World) {
        self.waiters.wake(world.changed());
        if world.placed() > 0 {
            self.metrics.placed(world.placed());
        }
        for (ending, after) in world.endings() {
            self.metrics.ended(*ending, *after);
        }
    }
}

/// The SKUs that a request names.
pub fn wanted(request: &Request) -> impl Iterator<Item = &str> {
    request.lines.iter().filter_map(|line| match line {
        LineRequest::Product { sku, .. } => Some(sku.as_str()),
        LineRequest::Extra { .. } => None,
    })
}

fn placed(world: &mut World, placing: &PlaceOrder, context: &DecisionContext) -> Effects {
    let PlaceOrder { request, details, trace_id, is_last_look, names, is_admitted } = placing;
    if !is_admitted {
        return refused(&pressure::overloaded());
    }
    match place(request, &world.catalogue, context.now) {
        Ok(decision) => {
            let at = Some(format!("/v1/orders/{}", request.id));
            let answer = service::told(201, &OrderView::new(&decision.order), at);
            Effects { announced: world.place(decision, details.as_ref(), *trace_id, context), answer }
        }
        Err(refusal) if !is_last_look && refusals::may_be_behind(&refusal) => {
            let answer = Answer { status: LOOK_AGAIN, ..Answer::default() };
            Effects { answer, ..Effects::default() }
        }
        Err(refusal) => refused(&refusals::problem(&refusal, names)),
    }
}

fn cancelled(world: &mut World, cancelling: &CancelOrder, context: &DecisionContext) -> Effects {
    let CancelOrder { order: id, by, text, conditions } = cancelling;
    let Some(order) = world.order(*id) else {
        return refused(&Problem::new(Code::NotFound, format!("there is no order {id}")));
    };
    if let Err(stale) = http::if_match(conditions, &etag(order)) {
        return refused(&stale);
    }
    let decision = cancel(order, Arc::clone(by), Arc::clone(text), context.now);
    let answer = service::told(200, &OrderView::new(&decision.order), None);
    let announced =
        if decision.announce.is_some() { world.apply(decision, context) } else { Vec::new() };
    Effects { announced, answer }
}

fn heard(world: &mut World, fact: &Fact, context: &DecisionContext) -> Result<Effects, Park> {
    if fact.version < 1 {
        // The order's history counts what each source said: what has no number has no place there,
        // and what is not written down is not applied.
        let reason = "it has no version".to_owned();
        return Err(Park { class: "no_envelope", reason });
    }
    let Some(order) = world.order(fact.about.order) else {
        let reason = format!("there is no order {}", fact.about.order);
        return Err(Park { class: "unknown_order", reason });
    };
    let currency = order.total.currency();
    if let Event::PaymentCaptured { amount, .. } | Event::PaymentRefunded { amount } =
        &fact.about.event
        && amount.currency() != currency
    {
        let reason = format!("{amount} for an order in {currency}");
        return Err(Park { class: "other_currency", reason });
    }
    let decision = decide(order, &fact.about.event, context.now);
    let news = News { event_id: fact.event_id, version: fact.version, event: &fact.about.wire };
    world.note(fact.about.order, &news, context.now);
    Ok(Effects { announced: world.apply(decision, context), ..Effects::default() })
}

fn refused(problem: &Problem) -> Effects {
    Effects { answer: service::refusal(problem), ..Effects::default() }
}

/// What names an order's present state.
fn etag(order: &Order) -> String {
    let body = serde_json::to_vec(&OrderView::new(order)).expect("an order's view is JSON");
    http::etag_of(&body)
}
