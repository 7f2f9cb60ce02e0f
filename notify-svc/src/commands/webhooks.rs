//! What staff ask about webhooks.

use axum::http::HeaderMap;
use chassis::{Code, Problem, http};
use mailbox::{Answer, DecisionContext, Tracked};
use proto::WebhookId;
use time::{Duration, OffsetDateTime};

use crate::{
    carriers::signed::SigningSecret,
    domain::{WebhookDeliveryStatus, WebhookSettings},
    input::WebhookRequest,
    views::webhooks::{DeliveryView, ReplayView, WebhookView},
    world::{
        World,
        webhooks::{EventReplay, Webhook},
    },
};

/// How long a secret that was replaced signs beside the new one.
const OLD_SECRET_SIGNS: Duration = Duration::days(1);
/// Webhooks that there may be: each costs a row for every event, and connections.
pub const WEBHOOKS_MAX: usize = 100;

/// Carries a request out, or says why not. No answer has a secret in it: it may be kept for a
/// repetition, which is not to show one.
pub(super) fn execute(
    world: &mut World,
    request: &WebhookRequest,
    context: &DecisionContext,
) -> Answer {
    let done = match request {
        WebhookRequest::Create { settings, secret } => create(world, settings, secret, context),
        WebhookRequest::Replace { id, settings, conditions } => {
            replace(world, *id, (settings, conditions), context)
        }
        WebhookRequest::Delete { id, conditions } => delete(world, *id, conditions),
        WebhookRequest::RotateSecret { id, secret } => rotate(world, *id, secret, context),
        WebhookRequest::Resend { id, delivery } => resend(world, (*id, *delivery), context),
        WebhookRequest::Replay { id, after, before, events } => {
            let replay = EventReplay { webhook: *id, after: *after, before: *before };
            self::replay(world, replay, *events)
        }
    };
    done.unwrap_or_else(|problem| service_kit::refusal(&problem))
}

fn create(
    world: &mut World,
    settings: &WebhookSettings,
    secret: &SigningSecret,
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    if world.webhooks.known >= WEBHOOKS_MAX {
        let why = format!("there are {WEBHOOKS_MAX} webhooks, and no more may be: delete one");
        return Err(Problem::new(Code::InvalidValue, why));
    }
    world.webhooks.known += 1;
    let id = WebhookId::new(context.new_id());
    let webhook = Webhook {
        settings: settings.clone(),
        disabled_reason: None,
        enabled_at: context.now,
        secret: secret.clone(),
        old_secret: None,
        created_at: context.now,
    };
    let view = WebhookView::new(id, &webhook, true);
    let answer = service_kit::json_answer(201, &view, Some(format!("/v1/webhooks/{id}")));
    world.webhooks.rows.insert(id, Tracked::new(webhook));
    Ok(answer)
}

/// Staff know why they enable it again, so what went wrong before does not count any more.
fn replace(
    world: &mut World,
    id: WebhookId,
    (settings, conditions): (&WebhookSettings, &HeaderMap),
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    let webhook = seen(world, id, conditions)?;
    webhook.settings = settings.clone();
    webhook.disabled_reason = None;
    webhook.enabled_at = context.now;
    Ok(service_kit::json_answer(200, &WebhookView::new(id, webhook, true), None))
}

fn delete(world: &mut World, id: WebhookId, conditions: &HeaderMap) -> Result<Answer, Problem> {
    seen(world, id, conditions)?;
    world.webhooks.rows.remove(&id);
    world.webhooks.deleted.insert(id);
    Ok(Answer { status: 204, ..Answer::default() })
}

fn rotate(
    world: &mut World,
    id: WebhookId,
    secret: &SigningSecret,
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    let webhook = known(world, id)?;
    let replaced = std::mem::replace(&mut webhook.secret, secret.clone());
    // Of rotations one after another, the receiver may know nothing but the first secret.
    let signs = |(_, until): &(SigningSecret, OffsetDateTime)| context.now < *until;
    if !webhook.old_secret.as_ref().is_some_and(signs) {
        webhook.old_secret = Some((replaced, context.now + OLD_SECRET_SIGNS));
    }
    Ok(service_kit::json_answer(200, &WebhookView::new(id, webhook, true), None))
}

fn resend(
    world: &mut World,
    place: (WebhookId, i64),
    context: &DecisionContext,
) -> Result<Answer, Problem> {
    known(world, place.0)?;
    let unknown = || Problem::not_found(format!("the webhook has no delivery {}", place.1));
    let delivery = world.webhooks.deliveries.get_mut(&place).ok_or_else(unknown)?;
    delivery.status = WebhookDeliveryStatus::Pending;
    delivery.due_at = context.now;
    world.webhooks.resent.insert(place.1);
    Ok(service_kit::json_answer(202, &DeliveryView::new(delivery), None))
}

fn replay(world: &mut World, replay: EventReplay, events: i64) -> Result<Answer, Problem> {
    known(world, replay.webhook)?;
    world.webhooks.replays.push(replay);
    Ok(service_kit::json_answer(202, &ReplayView { events }, None))
}

/// The webhook, as the caller has seen it.
fn seen<'w>(
    world: &'w mut World,
    id: WebhookId,
    conditions: &HeaderMap,
) -> Result<&'w mut Webhook, Problem> {
    let webhook = known(world, id)?;
    http::if_match(conditions, &service_kit::etag(&WebhookView::new(id, webhook, true)))?;
    Ok(webhook)
}

fn known(world: &mut World, id: WebhookId) -> Result<&mut Webhook, Problem> {
    let row = world.webhooks.rows.get_mut(&id);
    row.map(|row| &mut row.now).ok_or_else(|| no_webhook(id))
}

/// The problem of a webhook that is not there.
pub fn no_webhook(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no webhook {id}"))
}
