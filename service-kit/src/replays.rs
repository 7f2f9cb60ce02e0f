//! Replays over HTTP: events of a service's outbox that are to be published once more.

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::{Fields, Format},
    clock::{Timestamp, parse},
    http::{self, HttpResult, NoParams},
};
use mailbox::{Answer, Mailbox, Reactor, Replay, ReplayScope};
use proto::topic;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, RunState, answered, fault, unanswered},
    requests::{CommandRequest, json_answer, new_response},
};

const KEY_CHARS_MAX: usize = 200;
const TOPIC_CHARS_MAX: usize = 200;
const SERVICE_CHARS_MAX: usize = 64;
const INSTANT: Format = Format::Named("date-time");

/// The routes of `/v1/replays` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/replays", post(start::<R>))
        .route("/v1/replays/{id}", get(get_replay::<R>))
        .with_state(Desk { mailbox, service })
}

/// How many events a replay would publish, of how many keys.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReplaySizeView {
    events: i64,
    keys: i64,
}

/// A replay that has begun.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StartedReplayView {
    id: Uuid,
    events: i64,
    keys: i64,
    done: i64,
}

/// A replay, and how far it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReplayView<'a> {
    id: Uuid,
    service: &'static str,
    topics: &'a [String],
    /// The key whose events are published, if it is one alone.
    key: Option<&'a str>,
    reason: &'a str,
    events: i64,
    keys: i64,
    /// Events that were published so far.
    done: i64,
    state: RunState,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

/// The body of a request for a replay.
pub(crate) struct Wish {
    service: String,
    topic: Option<String>,
    scope: ReplayScope,
    is_dry_run: bool,
    reason: String,
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Wish> {
    let service = fields.text("service", SERVICE_CHARS_MAX).map(str::to_owned);
    let topic = fields.optional_text("topic", TOPIC_CHARS_MAX).map(str::to_owned);
    let key = fields.optional_text("key", KEY_CHARS_MAX).map(str::to_owned);
    let instant = |text: &str| {
        parse(text)
            .ok_or((Code::InvalidValue, "has to be a time, such as 2026-11-20T10:00:00Z".into()))
    };
    let (from_at, to_at) = (
        fields.optional_parsed_as("from", INSTANT, instant),
        fields.optional_parsed_as("to", INSTANT, instant),
    );
    let is_unsaid = !fields.has("dry_run");
    let is_dry_run = fields.optional_flag("dry_run");
    let is_dry_run = if is_unsaid { Some(true) } else { is_dry_run };
    let reason = fields.words("reason", REASON_CHARS_MAX).map(str::to_owned);
    Some(Wish {
        service: service?,
        topic,
        scope: ReplayScope { topics: Vec::new(), key, from_at, to_at },
        is_dry_run: is_dry_run?,
        reason: reason?,
    })
}

async fn start<R: Reactor>(State(desk): State<Desk<R>>, asked: CommandRequest) -> HttpResult {
    let mut wish = asked.read(read)?;
    if wish.service != desk.service {
        return Err(fault("/service", Code::InvalidValue, format!("this is {}", desk.service)));
    }
    let said = desk.mailbox.topics().await.map_err(|error| unanswered(&error))?;
    wish.scope.topics = topics(said, wish.topic)?;
    let key = asked.key()?;
    if wish.is_dry_run {
        let size = desk.mailbox.size_replay(&wish.scope).await;
        let size = size.map_err(|error| unanswered(&error))?;
        let counted = ReplaySizeView { events: size.events, keys: size.keys };
        return Ok(new_response(json_answer(200, &counted, None)));
    }
    let request = asked.operator(&wish.reason, key.as_ref());
    answered(desk.mailbox.start_replay(&wish.scope, request, started).await)
}

fn started(replay: &Replay) -> Answer {
    let Replay { id, events, keys, done, .. } = *replay;
    let body = StartedReplayView { id, events, keys, done };
    json_answer(202, &body, Some(format!("/v1/replays/{id}")))
}

/// The topics to replay: the one that is wanted, or all of the service's but the catalogue.
fn topics(said: Vec<String>, wanted: Option<String>) -> Result<Vec<String>, Problem> {
    match wanted {
        None => Ok(said.into_iter().filter(|name| name != topic::CATALOGUE).collect()),
        Some(name) if name == topic::CATALOGUE => Err(fault(
            "/topic",
            Code::InvalidValue,
            "the catalogue is not replayed: an old event would outlive the newest in a compacted \
             topic; inventory-svc says each product anew",
        )),
        Some(name) if said.contains(&name) => Ok(vec![name]),
        Some(_) => {
            let wrong = format!("is none of this service's: {}", said.join(", "));
            Err(fault("/topic", Code::InvalidValue, wrong))
        }
    }
}

async fn get_replay<R: Reactor>(
    State(desk): State<Desk<R>>,
    _: NoParams,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> HttpResult {
    let none = || Problem::not_found("there is no such replay");
    let id = id.parse().map_err(|_| none())?;
    let replay = desk.mailbox.replay(id).await.map_err(|error| unanswered(&error))?;
    let replay = replay.ok_or_else(none)?;
    Ok(http::resource(&headers, &view(desk.service, &replay)))
}

fn view<'a>(service: &'static str, replay: &'a Replay) -> ReplayView<'a> {
    let is_over = replay.ended_at.is_some();
    ReplayView {
        id: replay.id,
        service,
        topics: &replay.topics,
        key: replay.key.as_deref(),
        reason: &replay.reason,
        events: replay.events,
        keys: replay.keys,
        done: replay.done,
        state: if is_over { RunState::Ended } else { RunState::Running },
        started_at: replay.started_at.into(),
        ended_at: replay.ended_at.map(Timestamp::from),
    }
}
