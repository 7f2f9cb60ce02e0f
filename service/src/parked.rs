//! Parked keys over HTTP: what stopped, what is in it, and an operator's three answers to it.

use std::error::Error;

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    response::Response,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::{Code, Problem, body::JsonBody, clock::rfc3339, http};
use mailbox::{
    Answer, Mailbox, Mended, Once, OperatorError, Outcome, Park, ParkedKey, ParkedMessage, Reactor,
};
use proto::{Event, OrderId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::ask::{Asked, key_reused, outcome, refusal, told};

const CURSOR: &str = "parked";
const REASON_CHARS_MAX: usize = 200;
/// What a body of the largest size has room for, as base64; a larger message can only be discarded.
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
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
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
    let all = desk.mailbox.parked().await.map_err(|error| unanswered(&error))?;
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
    let messages = desk.mailbox.parked_messages(&topic, &key).await;
    let messages = messages.map_err(|error| unanswered(&error))?;
    if messages.is_empty() {
        return Err(not_parked());
    }
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
    asked: Asked,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    body.read_optional(|_nothing| Some(()))?;
    let once = once(&asked, &body, released)?;
    respond(desk.mailbox.release(&topic, &key, once).await, released)
}

async fn discard<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
    asked: Asked,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (topic, key) = desk.place(place)?;
    let reason = body.read(|fields| Some(fields.text("reason", REASON_CHARS_MAX)?.to_owned()))?;
    let once = once(&asked, &body, discarded)?;
    let end = desk.mailbox.discard(&topic, &key, &reason, once).await;
    respond(end.map(|()| 1), discarded)
}

async fn replace<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): Place,
    asked: Asked,
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
    let mended = Mended { payload: &payload, event_type: event_type.as_deref(), reason: &reason };
    let once = once(&asked, &body, replaced)?;
    let end = desk.mailbox.replace(&topic, &key, mended, once).await;
    respond(end.map(|()| 1), replaced)
}

/// The answer to a wish: to how many messages something was done, or why it was not.
type Tell = fn(Result<u64, &Park>) -> Answer;

fn released(end: Result<u64, &Park>) -> Answer {
    tell("released", end)
}

fn discarded(end: Result<u64, &Park>) -> Answer {
    tell("discarded", end)
}

fn replaced(end: Result<u64, &Park>) -> Answer {
    tell("replaced", end)
}

fn tell(what: &str, end: Result<u64, &Park>) -> Answer {
    match end {
        Ok(messages) => told(200, &json!({ what: messages }), None),
        Err(park) => refusal(&Problem::new(
            Code::InvalidValue,
            format!("the key's first message still cannot be processed: {park}"),
        )),
    }
}

/// A wish that is fulfilled once for each idempotency key.
fn once(asked: &Asked, body: &JsonBody, tell: Tell) -> Result<Option<Once>, Problem> {
    Ok(asked.key(&body.0)?.map(|key| Once { key, tell }))
}

fn respond(end: Result<u64, OperatorError>, tell: Tell) -> Result<Response, Problem> {
    let first = |answer| outcome(Outcome { answer, replayed: false });
    match end {
        Ok(messages) => Ok(first(tell(Ok(messages)))),
        Err(OperatorError::StillStopped(park)) => Ok(first(tell(Err(&park)))),
        Err(OperatorError::Answered(answer)) => Ok(outcome(Outcome { answer, replayed: true })),
        Err(OperatorError::KeyReused) => Err(key_reused()),
        Err(OperatorError::NotParked) => Err(not_parked()),
        Err(OperatorError::Database(error)) => Err(unanswered(&error)),
    }
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
        if service == self.service { Ok((topic, key)) } else { Err(not_parked()) }
    }
}

fn not_parked() -> Problem {
    Problem::new(Code::NotFound, "this key is not parked")
}

fn unanswered(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "an operator's wish failed");
    Problem::new(Code::Overloaded, "the database did not answer").retry_after(1)
}
