//! Bulk operations over HTTP: all parked keys of a kind are counted, then released or discarded,
//! and what became of each can be read.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::Fields,
    clock::Timestamp,
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::{
    Answer, BULK_KEYS_MAX, BulkAction, BulkFilter, BulkKey, BulkOperation, BulkRequest, BulkSize,
    KeyOutcome, Mailbox, Reactor,
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, RunState, answered, fault, unanswered},
    requests::{CommandRequest, json_answer, new_response, refusal},
};

const CURSOR: &str = "bulk-keys";
/// Characters of a service's name, a topic or a class.
const NAME_CHARS_MAX: usize = 200;

/// The routes of `/v1/parked/bulk` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/parked/bulk", post(start::<R>))
        .route("/v1/parked/bulk/{id}", get(get_bulk::<R>))
        .route("/v1/parked/bulk/{id}/keys", get(list_keys::<R>))
        .with_state(Desk { mailbox, service })
}

/// How many keys a bulk operation would be about.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BulkSizeView {
    keys: i64,
    messages: i64,
    /// Whether there are more keys than one operation takes.
    has_more: bool,
}

/// A bulk operation, and how far it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BulkView<'a> {
    id: Uuid,
    action: BulkAction,
    filter: BulkFilterView<'a>,
    reason: &'a str,
    caller: &'a str,
    keys: i64,
    messages: i64,
    /// Keys that have ended so far.
    done: i64,
    /// How many of them, by how they ended.
    outcomes: BTreeMap<&'a str, i64>,
    state: RunState,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

/// Which keys a bulk operation is about.
#[derive(Serialize, JsonSchema)]
struct BulkFilterView<'a> {
    service: &'a str,
    topic: Option<&'a str>,
    class: Option<&'a str>,
}

/// A key of a bulk operation.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BulkKeyView<'a> {
    topic: &'a str,
    key: &'a str,
    #[schemars(with = "OutcomeWord")]
    outcome: &'a str,
    messages: i64,
    /// Why the key stays parked, if it does.
    detail: Option<&'a str>,
    ended_at: Option<Timestamp>,
}

/// How a key stands whose turn has not come.
const PENDING: &str = "pending";

/// What became of a key, or that its turn has not come.
struct OutcomeWord;

chassis::inline_schema! { OutcomeWord => {"type": "string", "enum": outcome_words()} }

fn outcome_words() -> Vec<&'static str> {
    [PENDING].into_iter().chain(KeyOutcome::ALL.map(KeyOutcome::as_str)).collect()
}

/// The body of a request for a bulk operation.
pub(crate) struct Wish {
    action: BulkAction,
    service: String,
    filter: BulkFilter,
    /// Absent in a request for a preview.
    expected: Option<i64>,
    reason: Option<String>,
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Wish> {
    let action = fields.parsed("action", |word| {
        BulkAction::parse(word).ok_or((Code::InvalidValue, "has to be release or discard".into()))
    });
    let filter = fields.object("filter", |filter| {
        let service = filter.text("service", NAME_CHARS_MAX).map(str::to_owned);
        let topic = filter.optional_text("topic", NAME_CHARS_MAX).map(str::to_owned);
        let class = filter.optional_text("class", NAME_CHARS_MAX).map(str::to_owned);
        if class.as_deref() == Some(mailbox::UNKNOWN_EVENT) {
            let wrong = "their keys did not stop: they wait for a build that knows them";
            filter.refuse("class", Code::InvalidValue, wrong);
        }
        Some((service?, BulkFilter { topic, class }))
    });
    let is_preview = !fields.has("expected");
    let expected = fields.optional_integer("expected", 0..=BULK_KEYS_MAX);
    // What changes something has a reason.
    let reason = if is_preview {
        Some(fields.optional_words("reason", REASON_CHARS_MAX).map(str::to_owned))
    } else {
        fields.words("reason", REASON_CHARS_MAX).map(|words| Some(words.to_owned()))
    };
    let (service, filter) = filter?;
    Some(Wish { action: action?, service, filter, expected, reason: reason? })
}

async fn start<R: Reactor>(State(desk): State<Desk<R>>, asked: CommandRequest) -> HttpResult {
    let Wish { action, service, filter, expected, reason } = asked.read(read)?;
    if service != desk.service {
        let wrong = format!("this is {}", desk.service);
        return Err(fault("/filter/service", Code::InvalidValue, wrong));
    }
    let key = asked.key()?;
    let (Some(expected), Some(reason)) = (expected, reason) else {
        let size = desk.mailbox.size_bulk(&filter).await.map_err(|error| unanswered(&error))?;
        let BulkSize { keys, messages, has_more } = size;
        let counted = BulkSizeView { keys, messages, has_more };
        return Ok(new_response(json_answer(200, &counted, None)));
    };
    let request = asked.operator(&reason, key.as_ref());
    let wanted = BulkRequest { action, filter, expected };
    let tell = |end: Result<&BulkOperation, i64>| begun(desk.service, expected, end);
    answered(desk.mailbox.start_bulk(&wanted, request, tell).await)
}

fn begun(service: &str, expected: i64, end: Result<&BulkOperation, i64>) -> Answer {
    match end {
        Ok(bulk) => {
            json_answer(202, &view(service, bulk), Some(format!("/v1/parked/bulk/{}", bulk.id)))
        }
        Err(keys) => {
            let wrong = format!("{keys} keys are parked, and {expected} were expected");
            refusal(&Problem::new(Code::UnexpectedCount, wrong).with("keys", keys))
        }
    }
}

fn none() -> Problem {
    Problem::not_found("there is no such bulk operation")
}

async fn get_bulk<R: Reactor>(
    State(desk): State<Desk<R>>,
    _: NoParams,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> HttpResult {
    let bulk = desk.bulk(&id).await?;
    Ok(http::resource(&headers, &view(desk.service, &bulk)))
}

async fn list_keys<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(id): Path<String>,
    mut params: Params,
) -> HttpResult {
    let outcome = params.take_parsed("outcome", |word| {
        KeyOutcome::parse(word).ok_or("has to be an outcome, such as stopped")
    })?;
    let (limit, after) = params.into_page::<i64>(CURSOR)?;
    let bulk = desk.bulk(&id).await?;
    // One more than the limit, to find out whether there is another page.
    let from = after.unwrap_or_default();
    let keys = desk.mailbox.bulk_keys(bulk.id, outcome, from, limit + 1).await;
    let keys = keys.map_err(|error| unanswered(&error))?;
    let items = keys.iter().map(|key| (key.place, item(key)));
    Ok(http::page(CURSOR, limit, items, None))
}

impl<R: Reactor> Desk<R> {
    async fn bulk(&self, id: &str) -> Result<BulkOperation, Problem> {
        let id = id.parse().map_err(|_| none())?;
        let found = self.mailbox.bulk(id).await.map_err(|error| unanswered(&error))?;
        found.ok_or_else(none)
    }
}

fn view<'a>(service: &'a str, bulk: &'a BulkOperation) -> BulkView<'a> {
    BulkView {
        id: bulk.id,
        action: bulk.action,
        filter: BulkFilterView {
            service,
            topic: bulk.topic.as_deref(),
            class: bulk.class.as_deref(),
        },
        reason: &bulk.reason,
        caller: &bulk.caller,
        keys: bulk.keys,
        messages: bulk.messages,
        done: bulk.outcomes.iter().map(|(_, keys)| keys).sum(),
        outcomes: bulk.outcomes.iter().map(|(outcome, keys)| (&**outcome, *keys)).collect(),
        state: if bulk.ended_at.is_some() { RunState::Ended } else { RunState::Running },
        started_at: bulk.started_at.into(),
        ended_at: bulk.ended_at.map(Into::into),
    }
}

fn item(key: &BulkKey) -> BulkKeyView<'_> {
    BulkKeyView {
        topic: &key.topic,
        key: &key.key,
        outcome: key.outcome.as_deref().unwrap_or(PENDING),
        messages: key.messages,
        detail: key.detail.as_deref(),
        ended_at: key.ended_at.map(Into::into),
    }
}
