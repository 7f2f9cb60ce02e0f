//! Notifications and contacts over HTTP.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, put},
};
use chassis::{
    Code, Problem,
    body::{Fields, JsonBody},
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::Mailbox;
use proto::{CustomerId, NotificationId, limits::TEXT_CHARS_MAX};
use service_kit::RequestInfo;
use sqlx::PgPool;

use crate::{
    domain::Contact,
    input::{Input, Request},
    reactions::Notify,
    store,
    views::NotificationView,
};

/// What the cursors of an order's notifications are marked with, so that no other list takes them.
const NOTIFICATIONS: &str = "notifications";
/// Characters of a language tag (RFC 5646 recommends room for 35).
const LANGUAGE_MAX: usize = 35;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Notify>,
}

/// All routes of this service.
pub fn router(app: AppState) -> Router {
    let operators = service_kit::operators(&app.mailbox, crate::NAME);
    Router::new()
        .route("/v1/notifications", get(list_notifications))
        .route("/v1/notifications/{id}", get(get_notification))
        .route("/v1/customers/{id}/contact", put(put_contact))
        .with_state(app)
        .merge(operators)
}

async fn list_notifications(State(app): State<AppState>, mut params: Params) -> HttpResult {
    let order = service_kit::required_order(&mut params)?;
    let page = params.take_page()?;
    params.finish()?;
    let after: Option<NotificationId> = page.place(NOTIFICATIONS)?;
    let mut db = app.pool.acquire().await?;
    // One more than asked for tells whether there is another page.
    let found = store::notifications::of_order(&mut db, order, after, page.limit + 1).await?;
    let items = found.iter().map(|it| (it.notification_id, NotificationView::new(it)));
    Ok(http::page(NOTIFICATIONS, page.limit, items, None))
}

async fn get_notification(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> HttpResult {
    let unknown = || Problem::not_found(format!("there is no notification {id}"));
    let known = NotificationId::parse(&id).map_err(|_| unknown())?;
    let mut db = app.pool.acquire().await?;
    let found = store::notifications::find_all(&mut db, &[known.uuid()]).await?;
    let row = found.first().ok_or_else(unknown)?;
    Ok(http::resource(&headers, &NotificationView::new(row)))
}

async fn put_contact(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: RequestInfo,
    body: JsonBody,
) -> HttpResult {
    let customer = CustomerId::parse(&id)
        .map_err(|_| Problem::not_found(format!("there is no customer {id}")))?;
    let contact = body.read(contact)?;
    let input = Input::Request(Request::PutContact { customer, contact, conditions: headers });
    service_kit::submit(&app.mailbox, asked.command(input, &body.0)?).await
}

/// `{"email","phone","push_token","language"}`, each of which may be absent.
fn contact(fields: &mut Fields<'_>) -> Option<Contact> {
    let has_email = fields.has("email");
    let email = fields.optional_parsed("email", parse_email);
    let text = |text: Option<&str>| text.filter(|it| !it.is_empty()).map(ToOwned::to_owned);
    let phone = text(fields.optional_text("phone", TEXT_CHARS_MAX));
    let push_token = text(fields.optional_text("push_token", TEXT_CHARS_MAX));
    let language = text(fields.optional_text("language", LANGUAGE_MAX));
    (has_email == email.is_some()).then_some(Contact { email, phone, push_token, language })
}

/// Checks an address well enough to write it into a mail's header. Whether the address exists, only
/// a mail can tell.
fn parse_email(text: &str) -> Result<String, (Code, Cow<'static, str>)> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;:\"()[]\\".contains(c);
    match text.split_once('@') {
        Some((name, place))
            if !name.is_empty()
                && !place.is_empty()
                && !place.contains('@')
                && !text.contains(odd) =>
        {
            Ok(text.to_owned())
        }
        _ => Err((Code::InvalidValue, "is no e-mail address".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_header_is_no_address() {
        for address in ["a@b.example", "müller+x@straße.example"] {
            assert!(parse_email(address).is_ok(), "{address}");
        }
        for address in ["", "a", "@b", "a@", "a@b@c", "a@b\r\nBcc: c@d", "a b@c", "<a@b>"] {
            assert!(parse_email(address).is_err(), "{address}");
        }
    }
}
