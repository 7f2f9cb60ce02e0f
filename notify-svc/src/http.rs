//! Notifications and contacts over HTTP.

mod bodies;
mod openapi;
mod webhook_bodies;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{delete, get, post},
};
use chassis::{
    Caller, Problem,
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::Mailbox;
use proto::NotificationId;
use service_kit::CommandRequest;
use sqlx::PgPool;

use crate::{
    carriers::guard::AddressPolicy,
    domain::{Channel, Template},
    input::{Input, Request},
    reactions::Notify,
    store,
    templates::Templates,
    views::{ContactView, ErasureView, NotificationView, TemplateView},
};

pub use openapi::operations;

/// What the cursors of lists are marked with, so that no other list takes them.
const NOTIFICATIONS: &str = "notifications";
const TEMPLATES: &str = "templates";

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Notify>,
    pub templates: Arc<Templates>,
    /// Where webhooks may lead.
    pub addresses: AddressPolicy,
    /// One connection, for counting the events of replays: a count whose caller is gone keeps it,
    /// and takes none from anybody else.
    pub counting: PgPool,
}

impl AppState {
    async fn submit(&self, asked: &CommandRequest, request: Request) -> HttpResult {
        service_kit::submit(&self.mailbox, asked.command(Input::Request(request))?).await
    }
}

/// All routes of this service.
pub fn router(app: AppState) -> Router {
    let operators = service_kit::operators(&app.mailbox, crate::NAME);
    Router::new()
        .route("/v1/notifications", get(list_notifications))
        .route("/v1/notifications/email", post(|app, asked| send(app, Channel::Email, asked)))
        .route("/v1/notifications/sms", post(|app, asked| send(app, Channel::Sms, asked)))
        .route("/v1/notifications/push", post(|app, asked| send(app, Channel::Push, asked)))
        .route("/v1/notifications/{id}", get(get_notification))
        .route("/v1/templates", get(list_templates))
        .route("/v1/templates/{name}/preview", post(preview))
        .route("/v1/customers/{id}/contact", get(get_contact).put(put_contact))
        .route("/v1/customers/{id}", delete(erase))
        .merge(webhooks::routes())
        .with_state(app)
        .merge(operators)
}

async fn send(State(app): State<AppState>, channel: Channel, asked: CommandRequest) -> HttpResult {
    let letter = asked.read(|fields| bodies::letter(channel, fields))?;
    app.submit(&asked, Request::Notify(letter)).await
}

async fn list_templates(params: Params) -> HttpResult {
    let (limit, after) = params.into_page::<String>(TEMPLATES)?;
    let rest = Template::ALL.into_iter().skip_while(|template| {
        // The cursor names the last template shown.
        after.as_deref().is_some_and(|after| template.as_str() != after)
    });
    let rest = rest.skip(usize::from(after.is_some()));
    let items = rest.map(|template| (template.as_str(), TemplateView::new(template)));
    Ok(http::page(TEMPLATES, limit, items, None))
}

async fn preview(
    State(app): State<AppState>,
    Path(name): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let template = Template::parse(&name)
        .ok_or_else(|| Problem::not_found(format!("there is no template {name}")))?;
    let (fields, language) = asked.read_optional(bodies::preview)?;
    // A key has to be one, but nothing is kept under it: a preview changes nothing, and no erasure
    // would know whom its text is about.
    asked.key()?;
    let text = app.templates.page(template, language, &fields);
    Ok(service_kit::new_response(service_kit::json_answer(200, &text, None)))
}

async fn list_notifications(
    State(app): State<AppState>,
    caller: Caller,
    mut params: Params,
) -> HttpResult {
    let order = service_kit::required_order(&mut params)?;
    let (limit, after) = params.into_page::<NotificationId>(NOTIFICATIONS)?;
    let mut db = app.pool.acquire().await?;
    // One more than asked for tells whether there is another page.
    let of = (order, caller.sees());
    let found = store::notifications::of_order(&mut db, of, after, limit + 1).await?;
    let items = found.iter().map(|it| (it.notification_id, NotificationView::new(it, &caller)));
    Ok(http::page(NOTIFICATIONS, limit, items, None))
}

async fn get_notification(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let unknown = || Problem::not_found(format!("there is no notification {id}"));
    let known = NotificationId::parse(&id).map_err(|_| unknown())?;
    let mut db = app.pool.acquire().await?;
    let found = store::notifications::find_all(&mut db, &[known.uuid()], caller.sees()).await?;
    let row = found.first().ok_or_else(unknown)?;
    Ok(http::resource(&headers, &NotificationView::new(row, &caller)))
}

async fn get_contact(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let customer = service_kit::parse_customer(&id)?;
    if !caller.may_see(&customer) {
        return Err(no_contact(&id));
    }
    let mut db = app.pool.acquire().await?;
    let found = store::contacts::find_all(&mut db, &[customer.to_string()]).await?;
    let (_, contact) = found.first().ok_or_else(|| no_contact(&id))?;
    // A customer sees their own, and staff everyone's; a viewer sees that there is one.
    let is_whole = caller.may_act_for(&customer);
    Ok(http::resource(&headers, &ContactView::new(&customer, contact, is_whole)))
}

async fn put_contact(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let customer = service_kit::parse_customer(&id)?;
    if !asked.caller().may_act_for(&customer) {
        return Err(no_contact(&id));
    }
    let contact = asked.read(|fields| Some(bodies::contact(fields)))?;
    app.submit(&asked, Request::PutContact { customer, contact, conditions: headers }).await
}

/// Erases what this service holds of a customer.
async fn erase(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
) -> HttpResult {
    let customer = service_kit::parse_own_customer(&id, &caller)?;
    let mut db = app.pool.acquire().await?;
    let addresses = store::addresses::of(&mut db, &customer).await?;
    let is_proven = caller.is_staff();
    let erased = store::erasure::erase(&mut db, &customer, &addresses, is_proven).await?;
    service_kit::finish_erasure(&mut db, &customer).await?;
    // What was under way may have written the contact that it had read into a notification.
    let erased =
        erased.and(store::erasure::erase(&mut db, &customer, &addresses, is_proven).await?);
    Ok(http::json(axum::http::StatusCode::OK, &ErasureView::new(erased)))
}

fn no_contact(id: &str) -> Problem {
    Problem::not_found(format!("{id} has no contact"))
}
