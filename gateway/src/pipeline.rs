//! How orders go through the shop at present, as Prometheus has it: for the console's page.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use chassis::{
    Problem,
    clock::{self, Timestamp},
    http::{HttpResult, Params, json},
};
use futures::future::{join_all, try_join_all};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observers::Observer;

/// The stages of an order's way, as deploy/prometheus/rules/recording.yml names them, and as they
/// are told.
const STAGES: [(&str, &str); 5] = [
    ("accept", "accepted"),
    ("publish", "published"),
    ("receive", "received"),
    ("apply", "applied"),
    ("settle", "settled"),
];

const PLACED: &str = "sum(rate(orders_placed_total[30s]))";
const CONFIRMED: &str = "orders:confirmed:ratio_rate5m";
const UNFINISHED: &str = "max(sagas_unfinished)";
const PENDING: &str = "max by (database) (outbox_pending)";
const OLDEST: &str = "max by (database) (outbox_oldest_seconds)";
const LAG: &str = "sum by (job, topic) (consumer_lag)";

/// How orders go through the shop. What is not known is null.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pipeline {
    at: Timestamp,
    /// Placed, of the last half minute.
    orders_per_second: Option<f64>,
    /// Confirmed of those that ended, of the last five minutes.
    success_ratio: Option<f64>,
    /// Orders that are not finished.
    in_flight: Option<f64>,
    outbox: Vec<OutboxState>,
    consumers: Vec<TopicLag>,
    stages: Vec<StageLatency>,
}

/// The events of a database that wait for the relay.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OutboxState {
    database: String,
    pending: Option<f64>,
    oldest_seconds: Option<f64>,
}

/// The messages of a topic that a service has not consumed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TopicLag {
    service: String,
    topic: String,
    lag: Option<f64>,
}

/// How long a stage took in the last five minutes, in seconds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StageLatency {
    stage: &'static str,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// Prometheus' answer to an instant query, as far as it is used.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    /// The time, and the value as text.
    value: (f64, String),
}

impl Sample {
    /// The value, if it is a number at all.
    fn number(&self) -> Option<f64> {
        self.value.1.parse().ok().filter(|value: &f64| value.is_finite())
    }

    fn label(&self, name: &str) -> &str {
        self.metric.get(name).map_or("", String::as_str)
    }
}

/// What Prometheus knows now.
pub(crate) async fn look(prometheus: Option<&Observer>, query: Option<&str>) -> HttpResult {
    Params::parse(query.unwrap_or_default())?.finish()?;
    let prometheus = prometheus
        .ok_or_else(|| Problem::not_found("nobody measures here: there is no Prometheus"))?;
    let asked = [PLACED, CONFIRMED, UNFINISHED, PENDING, OLDEST, LAG];
    let asked = asked.map(|promql| samples(prometheus, promql));
    let (found, stages) = tokio::join!(
        try_join_all(asked),
        join_all([50, 95, 99].map(async |percent| latencies(prometheus, percent).await))
    );
    let found = found?;
    let [placed, confirmed, unfinished, pending, oldest, lag] = &found[..] else {
        return Err(Problem::internal());
    };
    let stages: Vec<_> = stages.into_iter().collect::<Result<_, _>>()?;
    let one = |samples: &[Sample]| samples.first().and_then(Sample::number);
    let outbox = pending.iter().map(|sample| {
        let database = sample.label("database");
        let same = oldest.iter().find(|it| it.label("database") == database);
        OutboxState {
            database: database.to_owned(),
            pending: sample.number(),
            oldest_seconds: same.and_then(Sample::number),
        }
    });
    let consumers = lag.iter().map(|sample| TopicLag {
        service: sample.label("job").to_owned(),
        topic: sample.label("topic").to_owned(),
        lag: sample.number(),
    });
    let stages = STAGES.map(|(label, stage)| {
        let of = |at: usize| stages.get(at).and_then(|found| found.get(label).copied());
        StageLatency { stage, p50: of(0), p95: of(1), p99: of(2) }
    });
    Ok(json(
        StatusCode::OK,
        &Pipeline {
            at: clock::now().into(),
            orders_per_second: one(placed),
            success_ratio: one(confirmed),
            in_flight: one(unfinished),
            outbox: outbox.collect(),
            consumers: consumers.collect(),
            stages: stages.into(),
        },
    ))
}

/// By stage, the seconds that `percent` of a hundred orders or events took at most.
async fn latencies(prometheus: &Observer, percent: u8) -> Result<BTreeMap<String, f64>, Problem> {
    let promql = format!(
        "histogram_quantile(0.{percent}, sum by (stage, le) (stage:latency_seconds_bucket:rate5m))"
    );
    let found = samples(prometheus, &promql).await?;
    let known = found.iter().filter_map(|it| Some((it.label("stage").to_owned(), it.number()?)));
    Ok(known.collect())
}

async fn samples(prometheus: &Observer, promql: &str) -> Result<Vec<Sample>, Problem> {
    let found: Option<Answer> = prometheus.ask("api/v1/query", &[("query", promql)]).await?;
    let mut samples = found.map(|it| it.data.result).unwrap_or_default();
    samples.sort_by(|a, b| a.metric.cmp(&b.metric));
    Ok(samples)
}
