//! Parked keys over HTTP: what stopped, what is in it, and an operator's three answers to it.

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::{Code, Problem, body::JsonBody, clock::rfc3339, http};
use mailbox::{Mailbox, Mended, OperatorError, ParkedKey, ParkedMessage, Reactor};
use proto::{Event, OrderId};
use serde::Serialize;
use serde_json::{Value, json};

const CURSOR: &str = "parked";
const REASON_CHARS_MAX: usize = 200;
/// A payload of the outbox's largest size, as base64.
const PAYLOAD_CHARS_MAX: usize = 60_000;

struct Desk<R: Reactor> {
    mailbox: Mailbox<R>,
    service: &'static str,
}

impl<R: Reactor> Clone for Desk<R> {
    fn clone(&self) -> Self {
        Self { mailbox: self.mailbox.clone(), service: self.service }
    }
}

type Place = Path<(String, String, String)>;

/// `/v1/parked` of one service.
pub fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/parked", get(list::<R>))
        .route("/v1/parked/{service}/{topic}/{key}", get(show::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/release", post(release::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/discard", post(discard::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/replace", post(replace::<R>))
        .with_state(Desk { mailbox, service })
}

#[derive(Serialize)]
struct Stopped {
    service: &'static str,
    topic: String,
    key: String,
    messages: i64,
    since: String,
    reason: String,
    order_id: Option<String>,
}

async fn list<R: Reactor>(
    State(desk): State<Desk<R>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = http::Params::parse(query.as_deref().unwrap_or_default())?;
    let wanted = params.take("service");
    let page = params.take_page()?;
    params.finish()?;
    if wanted.is_some_and(|wanted| wanted != desk.service) {
        return Err(Problem::new(Code::BadParameter, format!("this is {}", desk.service)));
    }
    // Keys that stopped are few: a page is a place in the one list of them.
    let from = match page.cursor {
        Some(cursor) => http::read_cursor::<usize>(CURSOR, &cursor)?,
        None => 0,
    };
    let all = desk.mailbox.parked().await.map_err(problem)?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let next = (from + limit < all.len()).then(|| http::write_cursor(CURSOR, &(from + limit)));
    let keys: Vec<Stopped> =
        all.into_iter().skip(from).take(limit).map(|key| desk.stopped(key)).collect();
    Ok(http::list(&keys, next))
}

async fn show<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    let messages = desk.mailbox.parked_messages(&topic, &key).await.map_err(problem)?;
    let items: Vec<Value> = messages.iter().map(|message| view(&topic, message)).collect();
    Ok(http::list(&items, None))
}

fn view(topic: &str, message: &ParkedMessage) -> Value {
    let payload = message.payload.as_deref().unwrap_or_default();
    let (data, error) = match Event::decode(topic, payload) {
        Ok(Some(event)) => (event.to_json(), Value::Null),
        Ok(None) => (Value::Null, Value::from("an event that this build does not know")),
        Err(error) => (Value::Null, Value::from(error.to_string())),
    };
    json!({
        "event_id": message.event_id, "type": message.event_type, "source": message.source,
        "version": message.version, "partition": message.partition, "offset": message.offset,
        "reason": message.reason, "parked_at": rfc3339(message.parked_at),
        "data": data, "not_decoded": error, "payload": BASE64_STANDARD.encode(payload),
    })
}

async fn release<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    let released = desk.mailbox.release(&topic, &key).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "released": released })))
}

async fn discard<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    let reason = body.read(|fields| Some(fields.text("reason", REASON_CHARS_MAX)?.to_owned()))?;
    desk.mailbox.discard(&topic, &key, &reason).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "discarded": 1 })))
}

async fn replace<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    let (payload, reason) = body.read(|fields| {
        let payload = fields.text("payload", PAYLOAD_CHARS_MAX).map(|text| {
            let decoded = BASE64_STANDARD.decode(text).ok();
            if decoded.is_none() {
                fields.refuse("payload", Code::InvalidValue, "it is not base64");
            }
            decoded
        });
        let reason = fields.text("reason", REASON_CHARS_MAX);
        Some((payload??, reason?.to_owned()))
    })?;
    // A message without headers is named after what it says now.
    let named = Event::decode(&topic, &payload).ok().flatten();
    let event_type = named.map(|event| event.event_type().full_name());
    let mended = Mended { payload: &payload, event_type: event_type.as_deref() };
    desk.mailbox.replace(&topic, &key, mended, &reason).await.map_err(problem)?;
    Ok(http::json(StatusCode::OK, &json!({ "replaced": 1 })))
}

impl<R: Reactor> Desk<R> {
    fn stopped(&self, key: ParkedKey) -> Stopped {
        let ParkedKey { topic, key, messages, class: _, reason, since } = key;
        let order_id = OrderId::parse(&key).is_ok().then(|| key.clone());
        Stopped {
            service: self.service,
            topic,
            key,
            messages,
            since: rfc3339(since),
            reason,
            order_id,
        }
    }

    fn place(
        &self,
        (service, topic, key): (String, String, String),
    ) -> Result<(String, String), Problem> {
        if service == self.service {
            Ok((topic, key))
        } else {
            Err(problem(OperatorError::NotParked))
        }
    }
}

fn problem(error: OperatorError) -> Problem {
    match error {
        OperatorError::NotParked => Problem::new(Code::NotFound, "this key is not parked"),
        OperatorError::StillStopped(park) => Problem::new(
            Code::InvalidValue,
            format!("the key's first message still cannot be processed: {park}"),
        ),
        OperatorError::Database(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "an operator's wish failed");
            Problem::new(Code::Overloaded, "the database did not answer").retry_after(1)
        }
    }
}
