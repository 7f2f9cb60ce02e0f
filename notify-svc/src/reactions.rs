//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::mem;

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, OutboxEvent, Park,
    Reactor, Tracked,
};
use proto::{NotificationId, OrderId, topic};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    commands,
    domain::{DeliveryStatus, Event, NotificationState, decide},
    input::{Fact, Input, Source},
    metrics, store, wire,
    world::{DeliveryReceipt, Job, Notification, Root, World},
};

/// This service's reactor.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Where deliveries go once they are committed. When this queue is full, they are left to the
    /// sweep.
    pub jobs: mpsc::Sender<Vec<Job>>,
}

impl Reactor for Notify {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::PAYMENTS]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service_kit::is_known(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Input>>, Park> {
        Ok(wire::decode(message)?.map(DecodedMessage::once))
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
        let root = &mut world.roots.get_mut(&fact.order)?.now;
        Some(match fact.source {
            Source::Orders => &mut root.heard_orders,
            Source::Payments => &mut root.heard_payments,
        })
    }

    fn decide(
        &self,
        world: &mut World,
        input: &Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        Ok(match input {
            Input::Heard(fact) => tell(world, fact, context),
            Input::Delivered { order, id, attempts } => {
                delivered(world, *order, (*id, *attempts), context)
            }
            Input::Request(request) => commands::execute(world, request, context),
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world).await
    }

    /// Queued deliveries go to the worker at once: their rows are already leased to this process.
    fn committed(&self, world: World) {
        metrics::notifications(&world);
        let queued = world.notifications.into_iter().filter_map(Job::first);
        let jobs: Vec<Job> = queued.collect();
        if !jobs.is_empty() && self.jobs.try_send(jobs).is_err() {
            tracing::debug!("deliveries are left to the sweep");
        }
    }
}

/// Queues a notification, or announces that it has failed.
fn tell(world: &mut World, fact: &Fact, context: &DecisionContext) -> Effects {
    let Fact { order, customer, news, fields, trace, .. } = fact;
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
            status: told.status,
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
    if told.is_some_and(|told| told.status == DeliveryStatus::Sent) {
        world.delivered.push(DeliveryReceipt { id, at: context.now, attempts });
    }
    Effects { announced, ..Effects::default() }
}

/// Applies one event to an order's notice: returns the announcement and the notification that
/// changed.
fn apply(
    world: &mut World,
    order: OrderId,
    event: &Event,
    context: &DecisionContext,
) -> (Vec<OutboxEvent>, Option<NotificationState>) {
    let root = &mut world.roots.entry(order).or_insert_with(|| Tracked::new(Root::default())).now;
    let decision = decide(mem::take(&mut root.notice), event);
    root.notice = decision.state;
    let announced = decision.announce.map(|announcement| {
        root.version += 1;
        service_kit::announce(context, order.key(), root.version, wire::encode(order, announcement))
    });
    (announced.into_iter().collect(), decision.touched)
}
