//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::{collections::BTreeSet, mem};

use axum::http::HeaderMap;
use chassis::http;
use mailbox::{
    OutboxEvent, Answer, Effects, HeldRow, LockPolicy, Message, Park, Reactor, Incoming, Trace, DecisionContext,
};
use proto::{CustomerId, NotificationId, OrderId, topic};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    deliveries::Job,
    domain::{Event, News, DeliveryStatus, decide},
    metrics, store,
    templates::Fields,
    views::ContactView,
    wire,
    world::{Contact, DeliveryReceipt, Kept, Notification, World},
};

/// This service's reactor.
#[derive(Clone, Debug)]
pub struct Notify {
    /// The way to the worker that delivers. What finds no room there is found by the sweep.
    pub jobs: mpsc::Sender<Vec<Job>>,
}

/// What a message, a delivery or a request means here.
#[derive(Clone, Debug)]
pub enum Input {
    Occasion(Box<Occasion>),
    /// A notification was handed over.
    DeliveryReceipt {
        order: OrderId,
        id: NotificationId,
        attempts: i32,
    },
    PutContact {
        customer: CustomerId,
        contact: Contact,
        headers: HeaderMap,
    },
}

/// Something that a customer is to be told.
#[derive(Clone, Debug)]
pub struct Occasion {
    pub order: OrderId,
    pub source: Source,
    pub customer: CustomerId,
    pub news: News,
    pub fields: Fields,
    pub trace: Option<Trace>,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Orders,
    Payments,
}

impl Reactor for Notify {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::PAYMENTS]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<Incoming<Input>>, Park> {
        Ok(wire::read(message)?.map(Incoming::once))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Input],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        let mut orders = BTreeSet::new();
        let (mut told, mut put) = (BTreeSet::new(), BTreeSet::new());
        for input in batch {
            match input {
                Input::Occasion(happened) => {
                    orders.insert(happened.order);
                    told.insert(happened.customer.as_str());
                }
                Input::Delivered { order, .. } => _ = orders.insert(*order),
                Input::PutContact { customer, .. } => _ = put.insert(customer.as_str()),
            }
        }
        let mut world = World::default();
        if !orders.is_empty() {
            if locking == LockPolicy::SkipHeld {
                let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
                world.held_notices.extend(store::held_notices(db, &ids).await?);
                orders.retain(|order| !world.held_notices.contains(order));
            }
            let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
            let found = store::lock_notices(db, &ids).await?;
            world.roots = orders.into_iter().map(|order| (order, Kept::default())).collect();
            world.roots.extend(found.into_iter().map(|(id, root)| (id, Kept::found(root))));
        }
        if !put.is_empty() {
            let mut put: Vec<String> = put.into_iter().map(ToOwned::to_owned).collect();
            if locking == LockPolicy::SkipHeld {
                world.held_contacts.extend(store::held_contacts(db, &put).await?);
                put.retain(|name| !world.held_contacts.iter().any(|held| held.as_str() == name));
            }
            world.contacts.extend(store::lock_contacts(db, &put).await?);
        }
        if !told.is_empty() {
            let told: Vec<String> = told.into_iter().map(ToOwned::to_owned).collect();
            world.contacts.extend(store::contacts(db, &told).await?);
        }
        Ok(world)
    }

    fn held(&self, world: &World, input: &Input) -> Option<HeldRow> {
        let notice = |order: &OrderId| {
            world.held_notices.contains(order).then(|| HeldRow::new("notice", order.to_string()))
        };
        match input {
            Input::Occasion(happened) => notice(&happened.order),
            Input::Delivered { order, .. } => notice(order),
            Input::PutContact { customer, .. } => world
                .held_contacts
                .contains(customer)
                .then(|| HeldRow::new("contact", customer.to_string())),
        }
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Input) -> Option<&'w mut i64> {
        let Input::Occasion(happened) = input else { return None };
        let root = &mut world.roots.get_mut(&happened.order)?.now;
        Some(match happened.source {
            Source::Orders => &mut root.heard_orders,
            Source::Payments => &mut root.heard_payments,
        })
    }

    fn decide(&self, world: &mut World, input: &Input, context: &DecisionContext) -> Result<Effects, Park> {
        Ok(match input {
            Input::Occasion(happened) => tell(world, happened, context),
            Input::Delivered { order, id, attempts } => {
                delivered(world, *order, (*id, *attempts), context)
            }
            Input::PutContact { customer, contact, headers } => {
                let answer = put_contact(&mut *world, customer, contact, headers);
                Effects { announced: Vec::new(), answer }
            }
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save::world(db, world).await
    }

    /// What was queued goes to the worker at once; its rows were born leased to this process.
    fn committed(&self, world: World) {
        metrics::notifications(&world);
        let queued = world.notifications.into_iter().filter_map(Job::first);
        let jobs: Vec<Job> = queued.collect();
        if !jobs.is_empty() && self.jobs.try_send(jobs).is_err() {
            tracing::debug!("deliveries are left to the sweep");
        }
    }
}

/// Queues a notification, or says that it has failed.
fn tell(world: &mut World, happened: &Occasion, context: &DecisionContext) -> Effects {
    let Occasion { order, customer, news, fields, trace, .. } = happened;
    let to = world.contacts.get(customer).and_then(|contact| contact.email.clone());
    let id = NotificationId::new(context.new_id());
    let event = Event::Happened { news: *news, id, reachable: to.is_some() };
    let (announced, told) = apply(world, *order, &event, context);
    if let Some(told) = told {
        world.notifications.push(Notification {
            id: told.id,
            order: *order,
            customer: customer.clone(),
            template: told.news.template,
            to,
            fields: fields.clone(),
            standing: told.standing,
            created_at: context.now,
            trace: *trace,
        });
    }
    Effects { announced, ..Effects::default() }
}

fn delivered(
    world: &mut World,
    order: OrderId,
    (id, attempts): (NotificationId, i32),
    context: &DecisionContext,
) -> Effects {
    let (announced, told) = apply(world, order, &Event::Delivered { id }, context);
    if told.is_some_and(|told| told.standing == DeliveryStatus::Sent) {
        world.delivered.push(DeliveryReceipt { id, at: context.now, attempts });
    }
    Effects { announced, ..Effects::default() }
}

/// Applies one event to an order's notice: what is said, and the notification that it touched.
fn apply(
    world: &mut World,
    order: OrderId,
    event: &Event,
    context: &DecisionContext,
) -> (Vec<OutboxEvent>, Option<crate::domain::NotificationState>) {
    let root = &mut world.roots.entry(order).or_default().now;
    let decision = decide(mem::take(&mut root.notice), event);
    root.notice = decision.state;
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        service::announce(context, order.key(), root.version, wire::announce(order, announcement))
    });
    (announced.into_iter().collect(), decision.touched)
}

fn put_contact(
    world: &mut World,
    customer: &CustomerId,
    contact: &Contact,
    headers: &HeaderMap,
) -> Answer {
    let checked = match world.contacts.get(customer) {
        Some(known) => http::if_match(headers, &ContactView::new(customer, known).etag()),
        None => http::if_nothing_matches(headers),
    };
    if let Err(stale) = checked {
        return service::refusal(&stale);
    }
    let answer = service::told(200, &ContactView::new(customer, contact), None);
    world.contacts.insert(customer.clone(), contact.clone());
    world.put.insert(customer.clone(), contact.clone());
    answer
}
