//! The relay's metrics, each with the label `database`.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// 1 while this process is the one that may publish the database's outbox.
pub(crate) const LEADER: &str = "relay_leader";
/// 1 while a lane has stopped: Kafka refuses what it publishes, or only a person can help.
pub(crate) const STOPPED: &str = "relay_stopped";
/// 1 while an operator has paused a lane.
pub(crate) const PAUSED: &str = "relay_paused";

/// What a lane counts, and the lag of its events.
#[derive(Clone)]
pub(crate) struct Meters {
    /// Messages that Kafka has acknowledged.
    pub(crate) published: Counter,
    pub(crate) ticks: Counter,
    pub(crate) polls: Counter,
    pub(crate) scans: Counter,
    /// Producers that were replaced because Kafka refused something.
    pub(crate) restarts: Counter,
    /// From a row's `created_at` to the acknowledgement of its batch, for the oldest row of each
    /// poll.
    pub(crate) lag: Histogram,
}

impl Meters {
    pub(crate) fn new(label: &Arc<str>) -> Self {
        let label = || Arc::clone(label);
        Self {
            published: counter!("relay_published_total", "database" => label()),
            ticks: counter!("relay_ticks_total", "database" => label()),
            polls: counter!("relay_polls_total", "database" => label()),
            restarts: counter!("relay_producer_restarts_total", "database" => label()),
            scans: counter!("relay_scans_total", "database" => label()),
            lag: histogram!("relay_lag_seconds", "database" => label()),
        }
    }
}

/// What `retire` measures of an outbox.
#[derive(Clone)]
pub(crate) struct Gauges {
    /// Rows behind the last tick, counted up to a limit.
    pub(crate) pending: Gauge,
    /// The age in seconds of the oldest row behind the last tick.
    pub(crate) oldest: Gauge,
    pub(crate) leaves: Gauge,
    pub(crate) bytes: Gauge,
}

impl Gauges {
    pub(crate) fn new(label: &Arc<str>) -> Self {
        let label = || Arc::clone(label);
        Self {
            pending: gauge!("outbox_pending", "database" => label()),
            oldest: gauge!("outbox_oldest_seconds", "database" => label()),
            leaves: gauge!("outbox_leaves", "database" => label()),
            bytes: gauge!("outbox_bytes", "database" => label()),
        }
    }
}
