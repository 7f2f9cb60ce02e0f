//! Consuming over HTTP: the state of each partition, and an operator's pause and resume.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::{Fields, Json, JsonBody},
    clock::rfc3339,
    http,
};
use mailbox::{
    Answer, ConsumedPartition, ConsumerError, ConsumerRequest, Mailbox, Outcome, Reactor,
    ResumeFrom, ResumeScope,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, unanswered},
    requests::{RequestInfo, key_reused, response},
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

#[derive(Serialize)]
struct Item {
    service: &'static str,
    topic: String,
    partition: Option<i32>,
    state: &'static str,
    reason: Option<String>,
    lag: Option<i64>,
    since: Option<String>,
}

async fn list_consumers<R: Reactor>(
    State(desk): State<Desk<R>>,
    params: http::Params,
) -> Result<Response, Problem> {
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
    asked: RequestInfo,
    body: JsonBody,
) -> Result<Response, Problem> {
    desk.check_path(&service)?;
    let (topic, reason) = body.read(|fields| {
        let topic = fields.optional_text("topic", TOPIC_CHARS_MAX).map(ToOwned::to_owned);
        let reason = fields.words("reason", REASON_CHARS_MAX)?.to_owned();
        Some((topic, reason))
    })?;
    let request = desk.request(&asked, &body, &reason, (topic.as_deref(), "paused"))?;
    respond(desk.mailbox.pause(topic.as_deref(), &request).await)
}

async fn resume<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Result<Response, Problem> {
    desk.check_path(&service)?;
    let (topic, partition, from, reason) = body.read(|fields| {
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
        Some((topic, partition, from, reason))
    })?;
    let request = desk.request(&asked, &body, &reason, (topic.as_deref(), "reading"))?;
    let scope = ResumeScope { topic: topic.as_deref(), partition, from };
    respond(desk.mailbox.resume(scope, &request).await)
}

/// Reads `"here"`, `"beginning"` or `{"offset":N}`; anything else is noted as a fault.
fn read_from(fields: &mut Fields<'_>) -> Option<ResumeFrom> {
    let wrong = "has to be \"here\", \"beginning\" or an object with an offset";
    match fields.json("from")? {
        Json::Text(text) if text == "here" => Some(ResumeFrom::Here),
        Json::Text(text) if text == "beginning" => Some(ResumeFrom::Beginning),
        Json::Object(_) => fields
            .optional_object("from", |from| from.integer("offset", 0..=i64::MAX))
            .map(ResumeFrom::Offset),
        _ => {
            fields.refuse("from", Code::InvalidValue, wrong);
            None
        }
    }
}

fn respond(end: Result<Outcome, ConsumerError>) -> Result<Response, Problem> {
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
            tracing::warn!(why, "Kafka did not take an operator's request");
            let detail = format!("Kafka did not take it: {why}");
            Err(Problem::new(Code::Overloaded, detail).retry_after(1))
        }
    }
}

impl<R: Reactor> Desk<R> {
    fn item(&self, it: ConsumedPartition) -> Item {
        Item {
            service: self.service,
            topic: it.topic,
            partition: it.partition,
            state: it.state.as_str(),
            reason: it.reason,
            lag: it.lag,
            since: it.since.map(rfc3339),
        }
    }

    fn request<'a>(
        &self,
        asked: &'a RequestInfo,
        body: &JsonBody,
        reason: &'a str,
        (topic, state): (Option<&str>, &str),
    ) -> Result<ConsumerRequest<'a>, Problem> {
        let said = json!({
            "service": self.service, "topic": topic, "state": state, "reason": reason,
        });
        let body_said = serde_json::to_vec(&said).expect("plain words are JSON");
        let answer = Answer { status: 200, headers: Vec::new(), body: body_said };
        Ok(ConsumerRequest {
            caller: asked.caller().subject(),
            reason,
            key: asked.key(&body.0)?,
            answer,
        })
    }
}
