//! Webhooks over HTTP.

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use chassis::{
    Caller, Code, Problem,
    body::Fields,
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::{Command, Outcome};
use proto::WebhookId;
use reqwest::Url;
use serde_json::{Map, Value};
use service_kit::{CommandRequest, RequestInfo};

use super::{AppState, webhook_bodies as bodies};
use crate::{
    carriers::signed::SigningSecret,
    commands::webhooks::no_webhook,
    domain::WebhookDeliveryStatus,
    input::{Input, Request, WebhookRequest},
    store::{webhook_deliveries, webhook_events, webhooks},
    views::webhooks::{DeliveryView, WebhookView},
};

/// What the cursors of lists are marked with.
const WEBHOOKS: &str = "webhooks";
const DELIVERIES: &str = "webhook-deliveries";
/// How long the events of a replay are counted: a request waits for no more.
const COUNT_MAX: Duration = Duration::from_secs(8);

/// The routes of webhooks.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{id}", get(show).put(replace).delete(delete))
        .route("/v1/webhooks/{id}/rotate-secret", post(rotate_secret))
        .route("/v1/webhooks/{id}/deliveries", get(list_deliveries))
        .route("/v1/webhooks/{id}/deliveries/{delivery}/resend", post(resend))
        .route("/v1/webhooks/{id}/replay", post(replay))
}

async fn create(State(app): State<AppState>, asked: CommandRequest) -> HttpResult {
    let (settings, url) = asked.read(|fields| bodies::settings(fields, app.addresses))?;
    require_public(&app, &url).await?;
    let secret = SigningSecret::random();
    let request = WebhookRequest::Create { settings, secret: secret.clone() };
    Ok(with_secret(outcome(&app, asked.command(input(request))?).await?, &secret))
}

async fn rotate_secret(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    asked.read_optional(|_: &mut Fields<'_>| Some(()))?;
    let secret = SigningSecret::random();
    let request = WebhookRequest::RotateSecret { id: parse(&id)?, secret: secret.clone() };
    Ok(with_secret(outcome(&app, asked.command(input(request))?).await?, &secret))
}

async fn replace(
    State(app): State<AppState>,
    Path(id): Path<String>,
    conditions: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let id = parse(&id)?;
    let (settings, url) = asked.read(|fields| bodies::settings(fields, app.addresses))?;
    require_public(&app, &url).await?;
    let request = WebhookRequest::Replace { id, settings, conditions };
    app.submit(&asked, Request::Webhook(request)).await
}

async fn delete(
    State(app): State<AppState>,
    Path(id): Path<String>,
    conditions: HeaderMap,
    asked: RequestInfo,
) -> HttpResult {
    let request = WebhookRequest::Delete { id: parse(&id)?, conditions };
    let command = asked.command_without_key(input(request));
    Ok(service_kit::response(outcome(&app, command).await?))
}

async fn list(State(app): State<AppState>, caller: Caller, params: Params) -> HttpResult {
    let (limit, after) = params.into_page::<WebhookId>(WEBHOOKS)?;
    let mut db = app.pool.acquire().await?;
    let found = webhooks::list(&mut db, after, limit + 1).await?;
    let is_whole = caller.is_staff();
    let items = found.iter().map(|(id, it)| (*id, WebhookView::new(*id, it, is_whole)));
    Ok(http::page(WEBHOOKS, limit, items, None))
}

async fn show(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let id = parse(&id)?;
    let mut db = app.pool.acquire().await?;
    let found = webhooks::find_all(&mut db, &[id.uuid()]).await?;
    let (_, webhook) = found.first().ok_or_else(|| no_webhook(id))?;
    Ok(http::resource(&headers, &WebhookView::new(id, webhook, caller.is_staff())))
}

async fn list_deliveries(
    State(app): State<AppState>,
    Path(id): Path<String>,
    mut params: Params,
) -> HttpResult {
    let id = parse(&id)?;
    let status = params.take_parsed("status", |word| {
        WebhookDeliveryStatus::parse(word).ok_or("has to be pending, delivered or failed")
    })?;
    let (limit, before) = params.into_page::<i64>(DELIVERIES)?;
    let statuses = status.map_or(WebhookDeliveryStatus::ALL.to_vec(), |status| vec![status]);
    let mut db = app.pool.acquire().await?;
    if webhooks::find_all(&mut db, &[id.uuid()]).await?.is_empty() {
        return Err(no_webhook(id));
    }
    let found = webhook_deliveries::list(&mut db, id, &statuses, before, limit + 1).await?;
    let items = found.iter().map(|it| (it.id, DeliveryView::new(it)));
    Ok(http::page(DELIVERIES, limit, items, None))
}

async fn resend(
    State(app): State<AppState>,
    Path((id, delivery)): Path<(String, String)>,
    asked: CommandRequest,
) -> HttpResult {
    asked.read_optional(|_: &mut Fields<'_>| Some(()))?;
    let id = parse(&id)?;
    let unknown = || Problem::not_found(format!("the webhook has no delivery {delivery}"));
    let delivery = delivery.parse().ok().filter(|known: &i64| known.to_string() == delivery);
    let request = WebhookRequest::Resend { id, delivery: delivery.ok_or_else(unknown)? };
    app.submit(&asked, Request::Webhook(request)).await
}

async fn replay(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let id = parse(&id)?;
    let (after, before) = asked.read(bodies::period)?;
    let events = count(&app, id, (after, before)).await?.ok_or_else(|| {
        let why = "there are more events than can be counted in time: ask for a shorter period";
        Problem::new(Code::Overloaded, why).retry_after(1)
    })?;
    let request = WebhookRequest::Replay { id, after, before, events };
    app.submit(&asked, Request::Webhook(request)).await
}

/// How many of the events between two ids the webhook is told of; `None` if they are too many.
async fn count(
    app: &AppState,
    id: WebhookId,
    between: (uuid::Uuid, uuid::Uuid),
) -> Result<Option<i64>, Problem> {
    let mut db = app.counting.acquire().await?;
    let found = webhooks::find_all(&mut db, &[id.uuid()]).await?;
    let (_, webhook) = found.first().ok_or_else(|| no_webhook(id))?;
    let types = webhook.settings.events.numbers();
    Ok(webhook_events::count(&mut db, between, types.as_deref(), COUNT_MAX).await?)
}

fn parse(id: &str) -> Result<WebhookId, Problem> {
    WebhookId::parse(id).map_err(|_| no_webhook(id))
}

fn input(request: WebhookRequest) -> Input {
    Input::Request(Request::Webhook(request))
}

async fn outcome(app: &AppState, command: Command<Input>) -> Result<Outcome, Problem> {
    service_kit::outcome_of(app.mailbox.submit(command).await)
}

/// Refuses an address whose name leads into this network.
async fn require_public(app: &AppState, url: &Url) -> Result<(), Problem> {
    if app.addresses.allows_name(url).await {
        return Ok(());
    }
    let (code, why) = (Code::InvalidValue, bodies::NOT_PUBLIC);
    Err(Problem::new(code, format!("/url {why}")).at("/url", code, why))
}

/// The response, with the secret in it if the answer was made just now: what is kept for a
/// repetition has none.
fn with_secret(mut outcome: Outcome, secret: &SigningSecret) -> axum::response::Response {
    let answer = &mut outcome.answer;
    let is_done = StatusCode::from_u16(answer.status).is_ok_and(|status| status.is_success());
    if is_done && !outcome.replayed {
        let mut view: Map<String, Value> =
            serde_json::from_slice(&answer.body).expect("the view of a webhook is an object");
        view.insert("secret".to_owned(), secret.expose().into());
        answer.body = serde_json::to_vec(&view).expect("JSON is JSON");
    }
    service_kit::response(outcome)
}
