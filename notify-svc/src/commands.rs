//! Requests of people: each is decided as an item of a batch, with its answer.

pub mod webhooks;

use axum::http::HeaderMap;
use chassis::http;
use mailbox::{Answer, DecisionContext, Effects};
use proto::{CustomerId, NotificationId};

use crate::{
    apply::apply,
    domain::{Contact, DeliveryStatus, Event, Language, Refusal},
    input::{Letter, Request},
    refusals,
    views::{ContactView, NotificationView},
    world::{Notification, World},
};

/// Carries a request out, or says why not; a refusal leaves `world` as it was.
pub fn execute(world: &mut World, request: &Request, context: &DecisionContext) -> Effects {
    match request {
        Request::PutContact { customer, contact, conditions } => {
            told(put_contact(world, customer, contact, conditions))
        }
        Request::Notify(letter) => notify(world, letter, context)
            .unwrap_or_else(|refusal| told(service_kit::refusal(&refusals::problem(refusal)))),
        Request::Webhook(asked) => told(webhooks::execute(world, asked, context)),
    }
}

fn put_contact(
    world: &mut World,
    customer: &CustomerId,
    contact: &Contact,
    conditions: &HeaderMap,
) -> Answer {
    let checked = match world.contacts.get(customer) {
        Some(known) => {
            http::if_match(conditions, &service_kit::etag(&ContactView::new(customer, known, true)))
        }
        None => http::if_nothing_matches(conditions),
    };
    if let Err(stale) = checked {
        return service_kit::refusal(&stale);
    }
    world.contacts.insert(customer.clone(), contact.clone());
    world.put.insert(customer.clone(), contact.clone());
    service_kit::json_answer(200, &ContactView::new(customer, contact, true), None)
}

/// Queues what staff send. About an order, it is in the language of the order's customer.
fn notify(
    world: &mut World,
    letter: &Letter,
    context: &DecisionContext,
) -> Result<Effects, Refusal> {
    let Letter { channel, to, template, fields, order } = letter;
    let id = NotificationId::new(context.new_id());
    let (mut announced, mut about, mut language) = (Vec::new(), None, Language::default());
    if let Some(order) = order {
        let root = world.roots.get(order).and_then(|root| root.now.customer.clone());
        let customer = root.ok_or(Refusal::UnknownOrder(*order))?;
        language = world.contacts.get(&customer).map_or(language, Contact::language);
        let event = Event::Requested { id, channel: *channel, template: *template };
        (announced, _) = apply(world, *order, &event, context);
        about = Some((*order, customer));
    }
    let notification = Notification {
        id,
        about,
        channel: *channel,
        template: *template,
        language,
        to: Some(to.clone()),
        fields: fields.clone(),
        status: DeliveryStatus::Queued,
        created_at: context.now,
        requested: true,
        trace: None,
    };
    let view = NotificationView::queued(&notification);
    let answer = service_kit::json_answer(202, &view, Some(format!("/v1/notifications/{id}")));
    world.notifications.push(notification);
    Ok(Effects { announced, answer, ..Effects::default() })
}

fn told(answer: Answer) -> Effects {
    Effects { answer, ..Effects::default() }
}
