//! Consuming over HTTP: the state of each partition, and an operator's pause and resume.

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::{Fields, Format},
    clock::Timestamp,
    http::{self, HttpResult, Params},
};
use mailbox::{
    ConsumedPartition, ConsumerError, ConsumerRequest, ConsumerState, Mailbox, Outcome, Reactor,
    ResumeFrom, ResumeScope,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, unanswered},
    requests::{CommandRequest, json_answer, key_reused, response},
};

const CURSOR: &str = "consumers";
/// Kafka's limit for a topic's name.
const TOPIC_CHARS_MAX: usize = 249;

/// The routes of `/v1/consumers` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/consumers", get(list_consumers::<R>))
        .route("/v1/consumers/{service}/pause", post(pause::<R>))
        .route("/v1/consumers/{service}/resume", post(resume::<R>))
        .with_state(Desk { mailbox, service })
}

/// A partition that a service reads, or a topic that it does not.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ConsumerView {
    service: &'static str,
    topic: String,
    /// Null for a paused topic whose partitions are not known.
    partition: Option<i32>,
    state: ConsumerState,
    reason: Option<String>,
    /// Messages after the committed offset; null where Kafka does not tell.
    lag: Option<i64>,
    /// Since when it is not read.
    since: Option<Timestamp>,
}

/// What a pause or a resume has changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ConsumerChangeView<'a> {
    service: &'static str,
    /// Null for all topics.
    topic: Option<&'a str>,
    state: ConsumerState,
    reason: &'a str,
}

/// What a request to pause or to resume says.
pub(crate) struct PauseBody {
    topic: Option<String>,
    reason: String,
}

pub(crate) struct ResumeBody {
    topic: Option<String>,
    partition: Option<i32>,
    from: Option<ResumeFrom>,
    reason: String,
}

async fn list_consumers<R: Reactor>(State(desk): State<Desk<R>>, params: Params) -> HttpResult {
    let page = desk.page(params)?;
    // A service's partitions are few: a page is the part of their whole list after a place.
    let after: Option<(String, Option<i32>)> = page.place(CURSOR)?;
    let all = desk.mailbox.consumers().await.map_err(|error| unanswered(&error))?;
    let place = |it: &ConsumedPartition| (it.topic.clone(), it.partition);
    let left = all.into_iter().filter(|it| after.as_ref().is_none_or(|at| place(it) > *at));
    let items = left.map(|it| (place(&it), desk.item(it)));
    Ok(http::page(CURSOR, page.limit, items, None))
}

async fn pause<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    desk.check_path(&service)?;
    let PauseBody { topic, reason } = asked.read(read_pause)?;
    let to = (topic.as_deref(), ConsumerState::Paused);
    let request = desk.request(&asked, &reason, to)?;
    respond(desk.mailbox.pause(topic.as_deref(), &request).await)
}

async fn resume<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    desk.check_path(&service)?;
    let ResumeBody { topic, partition, from, reason } = asked.read(read_resume)?;
    let to = (topic.as_deref(), ConsumerState::Reading);
    let request = desk.request(&asked, &reason, to)?;
    let scope = ResumeScope { topic: topic.as_deref(), partition, from };
    respond(desk.mailbox.resume(scope, &request).await)
}

pub(crate) fn read_pause(fields: &mut Fields<'_>) -> Option<PauseBody> {
    let topic = fields.optional_text("topic", TOPIC_CHARS_MAX).map(ToOwned::to_owned);
    let reason = fields.words("reason", REASON_CHARS_MAX)?.to_owned();
    Some(PauseBody { topic, reason })
}

pub(crate) fn read_resume(fields: &mut Fields<'_>) -> Option<ResumeBody> {
    let topic = fields.optional_text("topic", TOPIC_CHARS_MAX).map(ToOwned::to_owned);
    let partition = fields.optional_integer("partition", 0..=i64::from(i32::MAX));
    let from = read_from(fields);
    let reason = fields.words("reason", REASON_CHARS_MAX)?.to_owned();
    if partition.is_some() && topic.is_none() {
        fields.refuse("topic", Code::MissingField, "is missing: a partition is one of a topic");
        return None;
    }
    if matches!(from, Some(ResumeFrom::Offset(_))) && partition.is_none() {
        let wrong = "is missing: an offset is a place in one partition";
        fields.refuse("partition", Code::MissingField, wrong);
        return None;
    }
    let partition = partition.and_then(|number| i32::try_from(number).ok());
    Some(ResumeBody { topic, partition, from, reason })
}

/// Reads `"here"`, `"beginning"` or `{"offset":N}`; anything else is noted as a fault.
fn read_from(fields: &mut Fields<'_>) -> Option<ResumeFrom> {
    if fields.is_object("from") {
        let offset = fields.optional_object("from", |from| from.integer("offset", 0..=i64::MAX));
        return offset.map(ResumeFrom::Offset);
    }
    fields.optional_parsed_as("from", Format::Words(&["here", "beginning"]), |word| match word {
        "here" => Ok(ResumeFrom::Here),
        "beginning" => Ok(ResumeFrom::Beginning),
        _ => {
            let wrong = "has to be \"here\", \"beginning\" or an object with an offset";
            Err((Code::InvalidValue, wrong.into()))
        }
    })
}

fn respond(end: Result<Outcome, ConsumerError>) -> HttpResult {
    let invalid = |error: &ConsumerError, pointer: &'static str, code: Code| {
        let detail = error.to_string();
        Problem::new(code, detail.clone()).at(pointer, code, detail)
    };
    match end {
        Ok(outcome) => Ok(response(outcome)),
        Err(error @ ConsumerError::UnknownTopic) => {
            Err(invalid(&error, "/topic", Code::InvalidValue))
        }
        Err(error @ ConsumerError::NoPlace) => Err(invalid(&error, "/from", Code::MissingField)),
        Err(error @ ConsumerError::NoPartition) => {
            Err(invalid(&error, "/partition", Code::MissingField))
        }
        Err(error @ (ConsumerError::PausedWhole | ConsumerError::NotStopped)) => {
            Err(invalid(&error, "/partition", Code::InvalidValue))
        }
        Err(error @ ConsumerError::OutOfRange { .. }) => {
            Err(invalid(&error, "/from/offset", Code::InvalidValue))
        }
        Err(ConsumerError::KeyReused) => Err(key_reused()),
        Err(ConsumerError::Database(error)) => Err(unanswered(&error)),
        Err(ConsumerError::Kafka(why)) => {
            tracing::warn!(reason = why, "Kafka did not take an operator's request");
            let detail = format!("Kafka did not take it: {why}");
            Err(Problem::new(Code::Overloaded, detail).retry_after(1))
        }
    }
}

impl<R: Reactor> Desk<R> {
    fn item(&self, it: ConsumedPartition) -> ConsumerView {
        ConsumerView {
            service: self.service,
            topic: it.topic,
            partition: it.partition,
            state: it.state,
            reason: it.reason,
            lag: it.lag,
            since: it.since.map(Timestamp::from),
        }
    }

    fn request<'a>(
        &self,
        asked: &'a CommandRequest,
        reason: &'a str,
        (topic, state): (Option<&str>, ConsumerState),
    ) -> Result<ConsumerRequest<'a>, Problem> {
        let said = ConsumerChangeView { service: self.service, topic, state, reason };
        let answer = json_answer(200, &said, None);
        Ok(ConsumerRequest { caller: asked.caller().subject(), reason, key: asked.key()?, answer })
    }
}
