//! The thin shell around `domain`: loads what a batch touches, lets each input be decided, saves.

use std::mem;

use mailbox::{
    DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, Park, Reactor, Tracked,
};
use proto::{NotificationId, topic};
use sqlx::PgConnection;
use tokio::sync::watch;

use crate::{
    apply::apply,
    commands,
    domain::{Contact, Event, Language, NotificationState, decide},
    input::{DeliveryEnd, Fact, Input, KeptEvent, Source},
    jobs::JobQueues,
    metrics, store, wire,
    world::{DeliveryReceipt, Job, Notification, Root, World},
};

/// This service's reactor.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Where deliveries go once they are committed.
    pub jobs: JobQueues,
    /// Tells the workers of webhooks that there may be something to deliver.
    pub webhooks: watch::Sender<()>,
}

impl Reactor for Notify {
    type Input = Input;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[topic::ORDERS, topic::PAYMENTS, topic::STOCK, topic::NOTIFICATIONS, topic::CATALOGUE]
    }

    fn compacted(&self) -> &'static [&'static str] {
        &[topic::CATALOGUE]
    }

    fn is_known(&self, event_type: &str) -> bool {
        service_kit::is_known(event_type)
    }

    /// Nobody waits for what is only kept.
    fn may_linger(&self, event_type: &str) -> bool {
        wire::is_only_kept(event_type)
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Input>>, Park> {
        // What is only kept needs no row in the inbox: its own row tells a repetition. So nothing
        // that is only for webhooks can stop a key for its age.
        Ok(wire::decode(message)?.map(|input| match input {
            Input::Overheard(_) => DecodedMessage::repeatable(input),
            Input::Heard(_) | Input::Ended(_) | Input::Request(_) => DecodedMessage::once(input),
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
            Input::Heard(fact) => {
                keep(world, fact.event.as_ref(), context);
                react(world, fact, context)
            }
            Input::Overheard(event) => {
                keep(world, Some(event), context);
                Effects::default()
            }
            Input::Ended(end) => ended(world, end, context),
            Input::Request(request) => commands::execute(world, request, context),
        })
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        store::save(db, world).await
    }

    /// Queued deliveries go to the workers at once: their rows are already leased to this process.
    fn committed(&self, world: World) {
        metrics::notifications(&world);
        if world.webhooks.has_work() {
            self.webhooks.send_replace(());
        }
        let jobs: Vec<Job> = world.notifications.into_iter().filter_map(Job::first).collect();
        self.jobs.hand(jobs);
    }
}

/// Keeps an event for webhooks.
fn keep(world: &mut World, event: Option<&KeptEvent>, context: &DecisionContext) {
    let Some(event) = event else { return };
    if event.is_in_range(context.now) {
        world.webhooks.events.push(event.clone());
    } else {
        metrics::event_not_kept();
    }
}

/// Queues a notification, or announces that it has failed.
fn react(world: &mut World, fact: &Fact, context: &DecisionContext) -> Effects {
    let Fact { order, customer, news, fields, trace, .. } = fact;
    let contact = world.contacts.get(customer);
    let (channel, to) = contact.and_then(Contact::reach).unzip();
    let to = to.map(ToOwned::to_owned);
    let language = contact.map_or(Language::default(), Contact::language);
    let root = world.roots.entry(*order).or_insert_with(|| Tracked::new(Root::default()));
    root.now.customer.get_or_insert_with(|| customer.clone());
    let id = NotificationId::new(context.new_id());
    let event = Event::Happened { news: *news, id, channel };
    let (announced, told) = apply(world, *order, &event, context);
    if let Some(told) = told {
        world.notifications.push(Notification {
            id: told.id,
            about: Some((*order, customer.clone())),
            channel: told.channel,
            template: told.template,
            language,
            to,
            fields: fields.clone(),
            status: told.status,
            created_at: context.now,
            requested: false,
            trace: *trace,
        });
    }
    Effects { announced, ..Effects::default() }
}

/// Records how a delivery ended, and announces it if it was about an order.
fn ended(world: &mut World, end: &DeliveryEnd, context: &DecisionContext) -> Effects {
    let DeliveryEnd { id, order, attempts, outcome } = end;
    let (event, provider_id, detail) = match outcome {
        Ok(provider_id) => (Event::Delivered { id: *id }, provider_id.clone(), None),
        Err((failure, detail)) => {
            (Event::Failed { id: *id, failure: *failure }, None, Some(detail.clone()))
        }
    };
    let (announced, told) = match order {
        Some(order) => apply(world, *order, &event, context),
        None => (Vec::new(), end_single(world, *id, &event)),
    };
    if let Some(told) = told {
        let (id, at, attempts, status) = (*id, context.now, *attempts, told.status);
        world.ended.push(DeliveryReceipt { id, at, attempts, status, provider_id, detail });
    }
    Effects { announced, ..Effects::default() }
}

/// Ends a notification that is about no order; nothing is announced about it.
fn end_single(world: &mut World, id: NotificationId, event: &Event) -> Option<NotificationState> {
    let notice = world.single.get_mut(&id)?;
    let decision = decide(mem::take(notice), event);
    *notice = decision.state;
    decision.touched
}
