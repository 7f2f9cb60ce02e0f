//! The relay's lane of a service over HTTP: its state, and an operator's pause and resume.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::{Fields, JsonBody},
    clock::rfc3339,
    http,
};
use mailbox::{Answer, Lane, LaneChange, LaneStart, Mailbox, OperatorRequest, Reactor};
use serde::Serialize;

use crate::{
    desk::{Desk, REASON_CHARS_MAX, answered, fault, unanswered},
    requests::{RequestInfo, json_answer, refusal},
};

/// The routes of `/v1/lanes` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/lanes", get(list_lanes::<R>))
        .route("/v1/lanes/{service}/pause", post(pause::<R>))
        .route("/v1/lanes/{service}/resume", post(resume::<R>))
        .with_state(Desk { mailbox, service })
}

#[derive(Serialize)]
struct LaneView {
    service: &'static str,
    state: &'static str,
    reason: Option<String>,
    lag: i64,
    since: Option<String>,
}

fn view(service: &'static str, lane: Lane) -> LaneView {
    let state = lane.state.as_str();
    LaneView { service, state, reason: lane.reason, lag: lane.lag, since: lane.since.map(rfc3339) }
}

async fn list_lanes<R: Reactor>(
    State(desk): State<Desk<R>>,
    params: http::Params,
) -> Result<Response, Problem> {
    desk.page(params)?.first_only()?;
    let lane = desk.mailbox.lane().await.map_err(|error| unanswered(&error))?;
    Ok(http::list(&[view(desk.service, lane)], None))
}

async fn pause<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Result<Response, Problem> {
    desk.check_path(&service)?;
    let reason = body.read(|fields| Some(fields.words("reason", REASON_CHARS_MAX)?.to_owned()))?;
    let key = asked.key(&body.0)?;
    let request =
        OperatorRequest { caller: asked.caller().subject(), reason: &reason, key: key.as_ref() };
    answered(desk.mailbox.pause_lane(request, |change| desk.tell(change)).await)
}

async fn resume<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Result<Response, Problem> {
    desk.check_path(&service)?;
    let (reason, from) = body.read(|fields| {
        let from = resume_from(fields);
        let reason = fields.words("reason", REASON_CHARS_MAX);
        Some((reason?.to_owned(), from))
    })?;
    let key = asked.key(&body.0)?;
    let request =
        OperatorRequest { caller: asked.caller().subject(), reason: &reason, key: key.as_ref() };
    answered(desk.mailbox.resume_lane(request, from, |change| desk.tell(change)).await)
}

/// Where a stopped lane goes on, if the body says so.
fn resume_from(fields: &mut Fields<'_>) -> Option<LaneStart> {
    fields.optional_parsed("from", |word| match word {
        "here" => Ok(LaneStart::Here),
        "beginning" => Ok(LaneStart::Beginning),
        _ => Err((Code::InvalidValue, "has to be here or beginning".into())),
    })
}

impl<R: Reactor> Desk<R> {
    fn tell(&self, change: LaneChange) -> Answer {
        match change {
            LaneChange::Done(lane) => json_answer(200, &view(self.service, lane), None),
            LaneChange::WhereFrom(lane) => {
                let why = lane.reason.unwrap_or_default();
                let detail = format!("the lane is stopped: say from where it goes on ({why})");
                refusal(&fault("/from", Code::MissingField, detail))
            }
        }
    }
}
