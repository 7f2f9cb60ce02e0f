//! The relay's metrics, each with the label `database`.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::sync::Arc;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

const LEADER: &str = "relay_leader";
const STOPPED: &str = "relay_stopped";
const PAUSED: &str = "relay_paused";
const EPOCH: &str = "relay_epoch";
const PUBLISHED: &str = "relay_published_total";
const TICKS: &str = "relay_ticks_total";
const POLLS: &str = "relay_polls_total";
const SCANS: &str = "relay_scans_total";
const RESTARTS: &str = "relay_producer_restarts_total";
const LAG: &str = "relay_lag_seconds";
const BATCH: &str = "relay_batch";
const PENDING: &str = "outbox_pending";
const OLDEST: &str = "outbox_oldest_seconds";
const LEAVES: &str = "outbox_leaves";
const BYTES: &str = "outbox_bytes";

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_gauge!(LEADER, "1 while this process may publish the outbox of the `database`");
    describe_gauge!(
        STOPPED,
        "1 while the lane of the `database` has stopped: Kafka refuses it, or only a person can help"
    );
    describe_gauge!(PAUSED, "1 while an operator has paused the lane of the `database`");
    describe_gauge!(EPOCH, "How often the `database` has had a new leader, as its last one knows");
    describe_counter!(PUBLISHED, "Messages of the `database` that Kafka has acknowledged");
    describe_counter!(TICKS, "Cursors written to the `database`");
    describe_counter!(POLLS, "Looks for new rows in the `database`'s outbox");
    describe_counter!(SCANS, "Reads of a waiting stretch of the `database`'s outbox");
    describe_counter!(
        RESTARTS,
        "Producers replaced because Kafka refused something of the `database`"
    );
    describe_histogram!(
        LAG,
        Unit::Seconds,
        "From a row's making to Kafka's acknowledgement, for the oldest row of each poll of the `database`"
    );
    describe_histogram!(BATCH, "Messages of a batch of the `database`");
    describe_gauge!(PENDING, "Rows of the `database` behind the last tick, counted up to 100,000");
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "Age of the oldest row of the `database` behind the last tick"
    );
    describe_gauge!(LEAVES, "Partitions of the `database`'s outbox");
    describe_gauge!(BYTES, Unit::Bytes, "Size of the `database`'s outbox");
}

/// What a lane counts, and the lag of its events.
#[derive(Clone)]
pub(crate) struct Meters {
    pub(crate) published: Counter,
    pub(crate) ticks: Counter,
    pub(crate) polls: Counter,
    pub(crate) scans: Counter,
    pub(crate) restarts: Counter,
    pub(crate) lag: Histogram,
    pub(crate) batch: Histogram,
    pub(crate) epoch: Gauge,
}

impl Meters {
    pub(crate) fn new(label: &Arc<str>) -> Self {
        let label = || Arc::clone(label);
        Self {
            published: counter!(PUBLISHED, "database" => label()),
            ticks: counter!(TICKS, "database" => label()),
            polls: counter!(POLLS, "database" => label()),
            restarts: counter!(RESTARTS, "database" => label()),
            scans: counter!(SCANS, "database" => label()),
            lag: histogram!(LAG, "database" => label()),
            batch: histogram!(BATCH, "database" => label()),
            epoch: gauge!(EPOCH, "database" => label()),
        }
    }
}

/// What a lane is at present: 1 where it is so.
#[derive(Debug)]
pub(crate) struct LaneGauges {
    pub(crate) leader: Gauge,
    pub(crate) stopped: Gauge,
    pub(crate) paused: Gauge,
}

impl LaneGauges {
    pub(crate) fn new(label: &Arc<str>) -> Self {
        let of = |name: &'static str| gauge!(name, "database" => Arc::clone(label));
        let this = Self { leader: of(LEADER), stopped: of(STOPPED), paused: of(PAUSED) };
        for gauge in [&this.leader, &this.stopped, &this.paused] {
            gauge.set(0);
        }
        this
    }
}

/// What `retire` measures of an outbox.
#[derive(Clone)]
pub(crate) struct Gauges {
    pub(crate) pending: Gauge,
    pub(crate) oldest: Gauge,
    pub(crate) leaves: Gauge,
    pub(crate) bytes: Gauge,
}

impl Gauges {
    pub(crate) fn new(label: &Arc<str>) -> Self {
        let label = || Arc::clone(label);
        Self {
            pending: gauge!(PENDING, "database" => label()),
            oldest: gauge!(OLDEST, "database" => label()),
            leaves: gauge!(LEAVES, "database" => label()),
            bytes: gauge!(BYTES, "database" => label()),
        }
    }
}
