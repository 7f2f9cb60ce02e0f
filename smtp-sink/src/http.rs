//! Over HTTP: webhooks of SMS and push come in, and everything that was taken is shown.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::JsonBody,
    clock,
    http::{self, HttpResult, Params},
};
use serde_json::json;
use standardwebhooks::Webhook;

use crate::{
    manner::Manner,
    messages::{MessageLog, MessageRecord},
};

const TEXT_MAX: usize = 20_000;
/// How long an answer that never comes is not given.
const NEVER: Duration = Duration::from_hours(1);

/// What the handlers share.
#[derive(Clone)]
pub struct SinkState {
    pub log: Arc<MessageLog>,
    /// With what webhooks have to be signed, if with anything.
    pub signature: Option<Arc<Webhook>>,
}

/// All routes of the sink.
pub fn routes(sink: SinkState) -> Router {
    Router::new()
        .route("/messages", get(messages))
        .route("/webhooks/{channel}", post(webhook))
        .with_state(sink)
}

/// The newest messages, the newest first: to an address (`to`), on a `channel`, with a text in them
/// (`q`).
async fn messages(State(sink): State<SinkState>, mut params: Params) -> HttpResult {
    let [to, channel, text] = ["to", "channel", "q"].map(|name| params.take(name));
    let page = params.take_page()?;
    page.first_only()?;
    params.finish()?;
    let fits = |message: &MessageRecord| {
        to.as_ref().is_none_or(|to| message.to == *to)
            && channel.as_ref().is_none_or(|channel| message.channel == *channel)
            && text
                .as_ref()
                .is_none_or(|text| message.subject.contains(text) || message.text.contains(text))
    };
    let limit = usize::try_from(page.limit).unwrap_or_default();
    Ok(http::list(&sink.log.newest(limit, fits), None))
}

async fn webhook(
    State(sink): State<SinkState>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> HttpResult {
    let is_signed = |signature: &Arc<Webhook>| signature.verify(&body.0, &headers).is_ok();
    if !sink.signature.as_ref().is_none_or(is_signed) {
        return Err(Problem::new(Code::Unauthenticated, "the webhook's signature does not fit"));
    }
    let message = body.read(|fields| {
        // What it is for and when it was sent say nothing more than the path and the headers.
        let _ = (fields.json("type"), fields.json("timestamp"));
        fields.object("data", |data| {
            let mut text = |name| data.optional_text(name, TEXT_MAX).map(ToOwned::to_owned);
            let [id, to, subject, text] = ["id", "to", "subject", "text"].map(&mut text);
            Some(MessageRecord {
                id: id?,
                channel,
                at: clock::rfc3339(clock::now()),
                from: None,
                to: to?,
                subject: subject.unwrap_or_default(),
                text: text?,
                html: None,
            })
        })
    })?;
    let later = || Problem::new(Code::Overloaded, "not now").retry_after(1);
    match Manner::of(&message.to) {
        Manner::Takes => {}
        Manner::Once if !sink.log.is_first_attempt(&message.id) => {}
        Manner::Once | Manner::Later => return Err(later()),
        Manner::Refuses => return Err(Problem::new(Code::InvalidValue, "there is nobody there")),
        Manner::Hangs => tokio::time::sleep(NEVER).await,
        Manner::Closes => return Ok(hung_up()),
    }
    sink.log.take(message).map_err(|_| later())?;
    Ok(http::json(StatusCode::ACCEPTED, &json!({"id": clock::new_id()})))
}

/// An answer that gets lost: the body fails before anything is sent, so the connection is closed.
fn hung_up() -> Response {
    let lost = || Err::<Bytes, _>(io::Error::other("this answer gets lost"));
    Response::new(Body::from_stream(futures::stream::iter([lost()])))
}
