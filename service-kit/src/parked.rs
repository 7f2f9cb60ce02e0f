//! Parked keys over HTTP: which keys stopped, their messages, and an operator's release, discard
//! and replace.

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chassis::{
    Caller, Code, Problem,
    body::Fields,
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::{
    Answer, IdempotentRequest, Mailbox, OperatorError, Park, ParkedKey, ParkedPlace, ParkedQuery,
    Reactor, Replacement,
};
use proto::Event;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, answered, not_parked, read_reason, unanswered},
    requests::{CommandRequest, json_answer, refusal},
};

mod views;

use views::view;
pub(crate) use views::{
    DiscardCount, ParkedKeyView, ParkedMessageView, ReleaseCount, ReplaceCount,
};

const CURSOR: &str = "parked";
const MESSAGES_CURSOR: &str = "parked-messages";
/// Base64 characters that a body of the largest size has room for; a larger message can only be
/// discarded.
const PAYLOAD_CHARS_MAX: usize = 60_000;

type KeyRef = Path<(String, String, String)>;

/// The routes of `/v1/parked` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/parked", get(list_keys::<R>))
        .route("/v1/parked/{service}/{topic}/{key}", get(get_key::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/{parked_id}", get(get_message::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/release", post(release::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/discard", post(discard::<R>))
        .route("/v1/parked/{service}/{topic}/{key}/replace", post(replace::<R>))
        .with_state(Desk { mailbox, service })
}

/// A place in the list of keys: when the key stopped, in microseconds, then its topic and its key.
type Cursor = (i64, String, String);

async fn list_keys<R: Reactor>(State(desk): State<Desk<R>>, mut params: Params) -> HttpResult {
    let (class, topic) = (params.take("class"), params.take("topic"));
    let page = desk.page(params)?;
    let after = page.cursor.map(|cursor| place_after(&cursor)).transpose()?;
    // One more than the limit, to find out whether there is another page.
    let query = ParkedQuery { class, topic, after, limit: page.limit + 1 };
    let keys = desk.mailbox.parked_page(&query).await.map_err(|error| unanswered(&error))?;
    let items = keys.into_iter().map(|key| (place_of(&key), ParkedKeyView::new(desk.service, key)));
    Ok(http::page(CURSOR, page.limit, items, None))
}

fn place_of(key: &ParkedKey) -> Cursor {
    // A row's time has microseconds, and fits until the year 294276.
    let micros = i64::try_from(key.since.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    (micros, key.topic.clone(), key.key.clone())
}

fn place_after(cursor: &str) -> Result<ParkedPlace, Problem> {
    let (micros, topic, key): Cursor = http::read_cursor(CURSOR, cursor)?;
    // PostgreSQL's times begin later than those of `OffsetDateTime`, and no key was parked before
    // 1970.
    let micros = u64::try_from(micros).map_err(|_| http::bad_cursor())?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .ok()
        .filter(|_| storable(&topic) && storable(&key))
        .map(|since| ParkedPlace { since, topic, key })
        .ok_or_else(http::bad_cursor)
}

async fn get_key<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): KeyRef,
    caller: Caller,
    params: Params,
) -> HttpResult {
    let (topic, key) = desk.place(place)?;
    let (limit, after) = params.into_page::<i64>(MESSAGES_CURSOR)?;
    // One more than the limit, to find out whether there is another page.
    let from = after.unwrap_or_default();
    let messages = desk.mailbox.parked_messages(&topic, &key, from, limit + 1).await;
    let messages = messages.map_err(|error| unanswered(&error))?;
    if messages.is_empty() && after.is_none() {
        return Err(not_parked());
    }
    let items = messages.iter().map(|it| (it.parked_id, view(&topic, it, &caller)));
    Ok(http::page(MESSAGES_CURSOR, limit, items, None))
}

async fn get_message<R: Reactor>(
    State(desk): State<Desk<R>>,
    _: NoParams,
    Path((service, topic, key, parked_id)): Path<(String, String, String, String)>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let (topic, key) = desk.place((service, topic, key))?;
    let parked_id: i64 = parked_id.parse().map_err(|_| not_parked())?;
    let message = desk.mailbox.parked_message(&topic, &key, parked_id).await;
    let message = message.map_err(|error| unanswered(&error))?.ok_or_else(not_parked)?;
    Ok(http::resource(&headers, &view(&topic, &message, &caller)))
}

async fn release<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): KeyRef,
    asked: CommandRequest,
) -> HttpResult {
    let (topic, key) = desk.place(place)?;
    asked.read_optional(|_nothing| Some(()))?;
    let once = once(&asked, released)?;
    respond(desk.mailbox.release(&topic, &key, once).await, released)
}

async fn discard<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): KeyRef,
    asked: CommandRequest,
) -> HttpResult {
    let (topic, key) = desk.place(place)?;
    let reason = asked.read(read_reason)?;
    let once = once(&asked, discarded)?;
    let end = desk.mailbox.discard(&topic, &key, &reason, once).await;
    respond(end.map(|()| 1), discarded)
}

async fn replace<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(place): KeyRef,
    asked: CommandRequest,
) -> HttpResult {
    let (topic, key) = desk.place(place)?;
    let read = asked.read(read_replacement)?;
    // Unless the operator names another type, it is that of the new payload.
    let event_type = read.event_type.or_else(|| {
        let event = Event::decode(&topic, &read.payload).ok().flatten();
        event.map(|event| event.event_type().full_name())
    });
    let replacement = Replacement {
        payload: &read.payload,
        event_type: event_type.as_deref(),
        version: read.version,
        reason: &read.reason,
    };
    let once = once(&asked, replaced)?;
    let end = desk.mailbox.replace(&topic, &key, replacement, once).await;
    respond(end.map(|()| 1), replaced)
}

/// The body of a replacement: what an operator puts into a message.
pub(crate) struct ReplacementBody {
    payload: Vec<u8>,
    reason: String,
    event_type: Option<String>,
    version: Option<i64>,
}

pub(crate) fn read_replacement(fields: &mut Fields<'_>) -> Option<ReplacementBody> {
    let payload = fields.text("payload", PAYLOAD_CHARS_MAX).map(|text| {
        let decoded = BASE64_STANDARD.decode(text).ok();
        if decoded.is_none() {
            fields.refuse("payload", Code::InvalidValue, "it is not base64");
        }
        decoded
    });
    let reason = fields.words("reason", REASON_CHARS_MAX);
    let event_type = fields.optional_text("event_type", REASON_CHARS_MAX).map(str::to_owned);
    let version = fields.optional_integer("version", 1..=i64::MAX);
    Some(ReplacementBody { payload: payload??, reason: reason?.to_owned(), event_type, version })
}

/// Makes the answer: from the number of messages that were changed, or from the reason why a key
/// stays parked.
type Tell = fn(Result<u64, &Park>) -> Answer;

fn released(end: Result<u64, &Park>) -> Answer {
    tell(end, |released| ReleaseCount { released })
}

fn discarded(end: Result<u64, &Park>) -> Answer {
    tell(end, |discarded| DiscardCount { discarded })
}

fn replaced(end: Result<u64, &Park>) -> Answer {
    tell(end, |replaced| ReplaceCount { replaced })
}

fn tell<V: Serialize>(end: Result<u64, &Park>, view: fn(u64) -> V) -> Answer {
    match end {
        Ok(messages) => json_answer(200, &view(messages), None),
        Err(park) => refusal(&Problem::new(
            Code::InvalidValue,
            format!("the key's first message still cannot be processed: {park}"),
        )),
    }
}

/// Makes a request take effect once, if it came with an idempotency key.
fn once(asked: &CommandRequest, tell: Tell) -> Result<IdempotentRequest, Problem> {
    let (caller, key) = (asked.caller().subject().to_owned(), asked.key()?);
    Ok(IdempotentRequest { caller, key, tell })
}

fn respond(end: Result<u64, OperatorError>, tell: Tell) -> HttpResult {
    answered(match end {
        Ok(messages) => Ok(tell(Ok(messages))),
        Err(OperatorError::StillStopped(park)) => Ok(tell(Err(&park))),
        Err(error) => Err(error),
    })
}

impl<R: Reactor> Desk<R> {
    fn place(
        &self,
        (service, topic, key): (String, String, String),
    ) -> Result<(String, String), Problem> {
        let is_ours = service == self.service && storable(&topic) && storable(&key);
        if is_ours { Ok((topic, key)) } else { Err(not_parked()) }
    }
}

/// Whether PostgreSQL can store the text, which it cannot with NUL.
fn storable(text: &str) -> bool {
    !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use mailbox::ParkedMessage;
    use serde_json::{Value, json};

    use super::*;

    /// A parked message of which a list has fetched the beginning only.
    fn large(parked_id: i64) -> ParkedMessage {
        ParkedMessage {
            parked_id,
            partition: 0,
            offset: parked_id,
            event_id: None,
            event_type: None,
            source: None,
            version: None,
            payload: vec![0xff; usize::try_from(mailbox::PAYLOAD_SHOWN_MAX).unwrap()],
            payload_bytes: 900_000,
            reason: Some("r".repeat(1_000)),
            parked_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn a_page_of_large_messages_ends_before_a_mebibyte_and_goes_on_after_its_last() {
        let messages: Vec<_> = (1..=200).map(large).collect();
        let items = messages.iter().map(|it| (it.parked_id, view("t", it, &Caller::anonymous())));
        let page = http::page(MESSAGES_CURSOR, 200, items, None);

        let bytes = axum::body::to_bytes(page.into_body(), 1024 * 1024 - 1).await.unwrap();
        let page: Value = serde_json::from_slice(&bytes).unwrap();
        let items = page["items"].as_array().unwrap();
        let last = items.last().unwrap()["parked_id"].as_i64().unwrap();
        assert!(items.len() > 20 && items.len() < 200, "{}", items.len());
        let next = page["next_cursor"].as_str().expect("not the last although all was fetched");
        assert_eq!(http::read_cursor::<i64>(MESSAGES_CURSOR, next).unwrap(), last);
    }

    #[test]
    fn what_is_cut_says_so_and_is_not_decoded() {
        let cut = large(1);
        let cut = view("shop.orders.v1", &cut, &Caller::anonymous());
        assert_eq!((cut.truncated, &cut.data), (true, &Value::Null));
        assert_eq!(cut.payload_bytes, 900_000);
        let whole = ParkedMessage { payload_bytes: 16_384, ..large(1) };
        let whole = view("shop.orders.v1", &whole, &Caller::anonymous());
        assert!(!whole.truncated);
    }

    #[test]
    fn a_cursor_that_was_never_given_is_refused() {
        for place in [
            json!([i64::MAX, "t", "k"]),
            json!([-250_000_000_000_000_000_i64, "t", "k"]),
            json!([1, "t\0", "k"]),
            json!(7),
            json!([1, "t"]),
        ] {
            let problem = place_after(&http::write_cursor(CURSOR, &place)).unwrap_err();
            assert_eq!(problem.code(), Code::BadCursor, "{place}");
        }
        let since = OffsetDateTime::from_unix_timestamp_nanos(1_800_000_000_123_456_000).unwrap();
        let key = ParkedKey {
            topic: "t".to_owned(),
            key: "k".to_owned(),
            messages: 1,
            class: String::new(),
            reason: String::new(),
            since,
        };
        let place = place_after(&http::write_cursor(CURSOR, &place_of(&key))).unwrap();
        assert_eq!(place, ParkedPlace { since, topic: key.topic, key: key.key });
    }
}
