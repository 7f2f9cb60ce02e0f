//! What operators see of keys that stopped, and what they do to them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::{
    Code, Problem,
    body::JsonBody,
    clock,
    http::{self, Params},
};
use mailbox::{Mailbox, OperatorError, ParkedKey, ParkedMessage, Reactor};
use proto::OrderId;
use serde_json::{Value, json};

/// Characters of an operator's reason.
const REASON_MAX: usize = 200;

struct Parked<R: Reactor> {
    service: &'static str,
    mailbox: Mailbox<R>,
}

type Site<R> = State<Arc<Parked<R>>>;
/// Service, topic and key.
type Place = Path<(String, String, String)>;
type Answered = Result<Response, Problem>;

/// The operators' routes of the service named so.
pub(super) fn router<R: Reactor>(service: &'static str, mailbox: Mailbox<R>) -> Router {
    Router::new()
        .route("/v1/parked", get(list::<R>))
        .route("/v1/parked/{service}/{topic}/{key}", get(show::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/release", post(release::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/discard", post(discard::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/replace", post(replace::<R>))
        .with_state(Arc::new(Parked { service, mailbox }))
}

async fn list<R: Reactor>(State(site): Site<R>, mut params: Params) -> Answered {
    let ours = site.service;
    params.take_parsed("service", |name| {
        if name == ours { Ok(()) } else { Err("has to name this service") }
    })?;
    params.take_page()?;
    params.finish()?;
    let keys = site.mailbox.parked().await.map_err(problem)?;
    let items: Vec<_> = keys.iter().map(|key| key_view(ours, key)).collect();
    Ok(http::list(&items, None))
}

async fn show<R: Reactor>(State(site): Site<R>, Path((service, topic, key)): Place) -> Answered {
    site.check(&service)?;
    let messages = site.mailbox.parked_messages(&topic, &key).await.map_err(problem)?;
    let items: Vec<_> = messages.iter().map(|message| message_view(&topic, message)).collect();
    Ok(http::list(&items, None))
}

async fn release<R: Reactor>(State(site): Site<R>, Path((service, topic, key)): Place) -> Answered {
    site.check(&service)?;
    let released = site.mailbox.release(&topic, &key).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "released": released })))
}

async fn discard<R: Reactor>(
    State(site): Site<R>,
    Path((service, topic, key)): Place,
    body: JsonBody,
) -> Answered {
    site.check(&service)?;
    let reason = body.read(|fields| fields.text("reason", REASON_MAX).map(ToOwned::to_owned))?;
    site.mailbox.discard(&topic, &key, &reason).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "discarded": 1 })))
}

async fn replace<R: Reactor>(
    State(site): Site<R>,
    Path((service, topic, key)): Place,
    body: JsonBody,
) -> Answered {
    site.check(&service)?;
    let (payload, reason) = body.read(|fields| {
        // The body's own limit is the limit of a payload.
        let payload = fields.text("payload", http::BODY_LIMIT).and_then(|text| {
            let decoded = BASE64_STANDARD.decode(text).ok();
            if decoded.is_none() {
                fields.refuse("payload", Code::InvalidValue, "has to be base64");
            }
            decoded
        });
        let reason = fields.text("reason", REASON_MAX);
        Some((payload?, reason?.to_owned()))
    })?;
    site.mailbox.replace(&topic, &key, &payload, &reason).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "replaced": 1 })))
}

impl<R: Reactor> Parked<R> {
    fn check(&self, service: &str) -> Result<(), Problem> {
        if service == self.service {
            return Ok(());
        }
        Err(Problem::new(Code::NotFound, format!("this is {}, not {service}", self.service)))
    }
}

fn key_view(service: &str, key: &ParkedKey) -> Value {
    json!({
        "service": service,
        "topic": key.topic,
        "key": key.key,
        "messages": key.messages,
        "since": clock::rfc3339(key.since),
        "reason": key.reason,
        "order_id": OrderId::parse(&key.key).ok().map(|order| order.to_string()),
    })
}

/// A message, decoded as far as it can be.
fn message_view(topic: &str, message: &ParkedMessage) -> Value {
    let payload = message.payload.as_deref().unwrap_or_default();
    let event = proto::Event::decode(topic, payload).ok().flatten();
    json!({
        "id": message.event_id,
        "type": message.event_type,
        "source": message.source,
        "version": message.version,
        "partition": message.partition,
        "offset": message.offset,
        "reason": message.reason,
        "parked_at": clock::rfc3339(message.parked_at),
        "data": event.map(|event| event.to_json()),
        "payload": BASE64_STANDARD.encode(payload),
    })
}

fn problem(error: OperatorError) -> Problem {
    match error {
        OperatorError::NotParked => Problem::new(Code::NotFound, "this key is not parked"),
        OperatorError::StillStopped(park) => Problem::new(
            Code::InvalidValue,
            format!("the first message still cannot be processed: {park}"),
        ),
        OperatorError::Database(error) => error.into(),
    }
}
