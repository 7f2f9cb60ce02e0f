//! Live updates of an order, as Server-Sent Events: the order after each event said about it, and
//! its saga when that moves in between.
//!
//! Kafka wakes, order-svc's state tells: what a stream shows is always read there, with the
//! caller's own token. A wake-up may come before order-svc has heard of it; then the state is read
//! again until it has.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderName, uri::PathAndQuery},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use chassis::{
    Caller, Code, Problem, clock,
    http::{HttpResult, Params},
};
use futures::stream;
use proto::{OrderId, topic};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    forward::{Forwarder, UpstreamRequest},
    room::{StreamPlace, StreamRoom},
    routes::Service,
    wakes::{News, OrderWatch, Wakes},
};

/// A comment goes out after so long a silence, so that a proxy does not take it for the end.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream looks without having been woken: for what no event tells, such as a parked
/// key; and while Kafka is away.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY_UNHEARD: Duration = Duration::from_secs(5);
/// Versions of an order that are read at once: they wait in memory for a client that may be slow.
const VERSIONS_AT_ONCE: usize = 10;
/// Pauses between looks at a state that has not heard what Kafka told, or does not answer.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Larger than any page of an order's history.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What all streams of the gateway share.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) wakes: Wakes,
    pub(crate) room: StreamRoom,
    /// Ends all streams: their clients come back, and find another gateway.
    pub(crate) stop: CancellationToken,
}

/// One stream, from one event to the next.
struct OrderStream {
    streams: Streams,
    asked: UpstreamRequest,
    order: OrderId,
    watch: OrderWatch,
    queue: VecDeque<Event>,
    /// The version of the order that was shown last.
    shown: i64,
    /// How many of the places in Kafka were shown.
    placed: usize,
    /// What of the saga was shown last.
    saga: Value,
    /// What the state that was read last had heard.
    seen: News,
    /// The pause before the next look at a state that is behind, or does not answer.
    pause: Option<Duration>,
    ends_at: Instant,
    /// Whether nothing follows the version that was shown last.
    is_final: bool,
    is_over: bool,
    _place: StreamPlace,
}

impl Streams {
    /// The stream of an order; or what order-svc answers to who may not see it.
    pub(crate) async fn open(&self, asked: UpstreamRequest, caller: Option<&Caller>) -> HttpResult {
        let unknown = || Problem::not_found("there is no such order");
        Params::parse(asked.path.query().unwrap_or_default())?.finish()?;
        let text = asked.path.path().split('/').nth(3).unwrap_or_default();
        let order = OrderId::parse(text).map_err(|_| unknown())?;
        let place = self.room.take(caller)?;
        let watch = self.wakes.watch(order.uuid()).await;
        let now = u64::try_from(clock::now().unix_timestamp()).unwrap_or_default();
        let left = caller.map_or(u64::MAX, |caller| caller.expires_at().saturating_sub(now));
        // A stream that never ends by itself is looked at again in a day.
        let left = Duration::from_secs(left).min(Duration::from_hours(24));
        let last = last_event_id(asked.headers());
        let mut stream = OrderStream {
            streams: self.clone(),
            asked,
            order,
            watch,
            queue: VecDeque::new(),
            shown: 0,
            placed: 0,
            saga: Value::Null,
            seen: News::default(),
            pause: None,
            ends_at: Instant::now() + left,
            is_final: false,
            is_over: false,
            _place: place,
        };
        if let Some(refusal) = stream.begin(last).await? {
            return Ok(refusal);
        }
        let events = stream::unfold(stream, |mut stream| async {
            let event = stream.next().await?;
            Some((Ok::<_, Infallible>(event), stream))
        });
        let keep_alive = KeepAlive::new().interval(HEARTBEAT);
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        // Proxies that keep answers back until they are whole would keep this one for ever.
        let plain = axum::http::HeaderValue::from_static("no");
        response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), plain);
        Ok(response)
    }
}

impl OrderStream {
    /// Shows the present, or what came after the event that the client saw last. Returns the answer
    /// of order-svc if that is no order.
    async fn begin(&mut self, last: Option<i64>) -> Result<Option<Response>, Problem> {
        let present = match self.get("").await? {
            Ok(order) => order,
            Err(refusal) => return Ok(Some(refusal)),
        };
        let version = version_of(&present);
        match last.filter(|last| (0..=version).contains(last)) {
            Some(last) => {
                self.shown = last;
                self.is_final = last == version && is_final(&present);
            }
            None => self.show(&present),
        }
        self.look().await;
        Ok(None)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let pause = self.pause.unwrap_or_else(|| self.every());
            tokio::select! {
                biased;
                () = self.streams.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => return None,
                // An error means that the sender is gone, and it lives as long as the watch.
                _ = self.watch.updates.changed(), if self.pause.is_none() => {}
                () = tokio::time::sleep(pause) => {}
            }
            self.look().await;
        }
    }

    /// How long to wait for news before looking all the same.
    fn every(&self) -> Duration {
        if self.streams.wakes.is_ready() { LOOK_EVERY } else { LOOK_EVERY_UNHEARD }
    }

    /// Reads the state, and queues what has changed.
    async fn look(&mut self) {
        let news = {
            let updates = self.watch.updates.borrow_and_update();
            for place in updates.places.iter().skip(self.placed) {
                self.queue.push_back(event("published", &json!(place)));
            }
            self.placed = updates.places.len();
            updates.news
        };
        self.pause = match self.read().await {
            StateRead::Whole if !news.is_ahead_of(&self.seen) => None,
            StateRead::Partly => Some(Duration::ZERO),
            StateRead::Whole | StateRead::Not => {
                Some(self.pause.map_or(PAUSE_MIN, |pause| (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)))
            }
        };
    }

    async fn read(&mut self) -> StateRead {
        let saga = match self.get("/saga").await {
            Ok(Ok(saga)) => saga,
            // The order cannot go; so the caller may not see it any more.
            Ok(Err(_)) => {
                self.is_over = true;
                return StateRead::Whole;
            }
            Err(_) => return StateRead::Not,
        };
        if self.shown < version_of(&saga) {
            let path = format!("/history?limit={VERSIONS_AT_ONCE}&after={}", self.shown);
            let Ok(Ok(page)) = self.get(&path).await else { return StateRead::Not };
            let orders = page["items"].as_array().map_or(&[][..], Vec::as_slice);
            if orders.is_empty() {
                return StateRead::Not;
            }
            for order in orders {
                self.show(order);
            }
            if self.shown < version_of(&saga) {
                return StateRead::Partly;
            }
        }
        self.seen = heard(&saga);
        let moved = json!([saga["status"], saga["steps"], saga["expected"], saga["parked"]]);
        if self.saga != moved {
            self.queue.push_back(event("saga", &saga));
            self.saga = moved;
        }
        let is_undone = matches!(saga["status"].as_str(), Some("compensated" | "failed"));
        self.is_over |= self.is_final || is_undone;
        StateRead::Whole
    }

    fn show(&mut self, order: &Value) {
        self.shown = version_of(order);
        self.queue.push_back(event("order", order).id(self.shown.to_string()));
        self.is_final = is_final(order);
    }

    /// What order-svc has under the order's path; an answer of another status as it is.
    async fn get(&self, under: &str) -> Result<Result<Value, Response>, Problem> {
        let unclear = |_| Problem::new(Code::Overloaded, "order-svc did not answer").retry_after(1);
        let path = format!("/v1/orders/{}{under}", self.order);
        let path = PathAndQuery::try_from(path).map_err(|_| Problem::internal())?;
        let (asked, forwarder) = (self.asked.elsewhere(path), &self.streams.forwarder);
        let answer = forwarder.ask_json(Service::Order, &asked, ANSWER_BYTES_MAX, unclear).await?;
        Ok(answer.map(|(value, _)| value))
    }
}

/// What came of a look at the state.
enum StateRead {
    Whole,
    /// There are more versions of the order to be shown.
    Partly,
    /// order-svc did not answer, or is not as far as it said.
    Not,
}

/// Whether nothing will happen to an order any more.
fn is_final(order: &Value) -> bool {
    order["status"] == "delivered"
}

/// What the client saw last, if it is a version at all.
fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

fn version_of(order: &Value) -> i64 {
    order["version"].as_i64().unwrap_or_default()
}

/// What order-svc had heard when it told this saga.
fn heard(saga: &Value) -> News {
    let of = |source: &str| saga["heard"][source].as_i64().unwrap_or_default();
    let mut news = News::default();
    news.note(topic::ORDERS, version_of(saga));
    news.note(topic::STOCK, of("inventory-svc"));
    news.note(topic::PAYMENTS, of("payment-svc"));
    news.note(topic::NOTIFICATIONS, of("notify-svc"));
    news
}
