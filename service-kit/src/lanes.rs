//! The relay's lane of a service over HTTP: its state, and an operator's pause and resume.

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use chassis::{
    Code,
    body::{Fields, Format},
    clock::Timestamp,
    http::{self, HttpResult, Params},
};
use mailbox::{Answer, Lane, LaneChange, LaneStart, LaneState, Mailbox, Reactor};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    desk::{Desk, answered, fault, read_reason, unanswered},
    requests::{CommandRequest, json_answer, refusal},
};

/// The routes of `/v1/lanes` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/lanes", get(list_lanes::<R>))
        .route("/v1/lanes/{service}/pause", post(pause::<R>))
        .route("/v1/lanes/{service}/resume", post(resume::<R>))
        .with_state(Desk { mailbox, service })
}

/// The relay's lane of a service.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LaneView {
    service: &'static str,
    state: LaneState,
    reason: Option<String>,
    /// Events that wait to be published, counted up to a limit.
    lag: i64,
    /// Since when nothing is published.
    since: Option<Timestamp>,
}

fn view(service: &'static str, lane: Lane) -> LaneView {
    let Lane { state, reason, lag, since } = lane;
    LaneView { service, state, reason, lag, since: since.map(Timestamp::from) }
}

async fn list_lanes<R: Reactor>(State(desk): State<Desk<R>>, params: Params) -> HttpResult {
    desk.page(params)?.first_only()?;
    let lane = desk.mailbox.lane().await.map_err(|error| unanswered(&error))?;
    Ok(http::list(&[view(desk.service, lane)], None))
}

async fn pause<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    desk.check_path(&service)?;
    let reason = asked.read(read_reason)?;
    let key = asked.key()?;
    let request = asked.operator(&reason, key.as_ref());
    answered(desk.mailbox.pause_lane(request, |change| desk.tell(change)).await)
}

async fn resume<R: Reactor>(
    State(desk): State<Desk<R>>,
    Path(service): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    desk.check_path(&service)?;
    let (reason, from) = asked.read(read_resume)?;
    let key = asked.key()?;
    let request = asked.operator(&reason, key.as_ref());
    answered(desk.mailbox.resume_lane(request, from, |change| desk.tell(change)).await)
}

/// The reason, and where a stopped lane goes on, if the body says so.
pub(crate) fn read_resume(fields: &mut Fields<'_>) -> Option<(String, Option<LaneStart>)> {
    let places = Format::Words(&["here", "beginning"]);
    let from = fields.optional_parsed_as("from", places, |word| match word {
        "here" => Ok(LaneStart::Here),
        "beginning" => Ok(LaneStart::Beginning),
        _ => Err((Code::InvalidValue, "has to be here or beginning".into())),
    });
    Some((read_reason(fields)?, from))
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
