//! What this service counts.

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use time::{Duration, OffsetDateTime};

/// How an order ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    Confirmed,
    /// With the word of the cancellation's reason.
    Cancelled(&'static str),
}

/// The orders that are not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedOrders {
    /// How many there are.
    pub count: i64,
    /// Since when the oldest of them is unfinished.
    pub since: Option<OffsetDateTime>,
    /// Those for which something is overdue.
    pub late: u32,
    /// Those that somebody should look at: late, to be settled by staff, or with a parked key.
    pub stuck: u32,
}

/// The metrics' handles, looked up once.
pub struct Metrics {
    placed: Counter,
    settle: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { placed: counter!("orders_placed_total"), settle: histogram!("order_settle_seconds") }
    }
}

impl Metrics {
    /// Counts orders that were placed.
    pub fn placed(&self, orders: u64) {
        self.placed.increment(orders);
    }

    /// Counts an order that ended in this way, this long after it was placed.
    pub fn ended(&self, ending: OrderEnd, after: Duration) {
        let label = match ending {
            OrderEnd::Confirmed => "confirmed",
            OrderEnd::Cancelled(reason) => reason,
        };
        counter!("order_endings_total", "ending" => label).increment(1);
        self.settle.record(after.as_seconds_f64());
    }
}

/// Shows how the orders stand that are not finished.
pub fn unfinished(orders: &UnfinishedOrders, now: OffsetDateTime) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    gauge!("sagas_unfinished").set(orders.count as f64);
    gauge!("sagas_late").set(orders.late);
    gauge!("sagas_stuck").set(orders.stuck);
    let age = orders.since.map_or(Duration::ZERO, |since| now - since);
    gauge!("saga_oldest_seconds").set(age.as_seconds_f64());
}

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!("orders_placed_total", "Orders accepted");
    describe_counter!(
        "order_endings_total",
        "Orders ended: confirmed, or the reason of the cancellation"
    );
    describe_gauge!("sagas_unfinished", "Orders that are not finished");
    describe_gauge!("sagas_late", "Unfinished orders for which something is overdue");
    describe_gauge!("sagas_stuck", "Unfinished orders that are late, owed a refund or parked");
    describe_gauge!("saga_oldest_seconds", Unit::Seconds, "Age of the oldest unfinished order");
    describe_histogram!("order_settle_seconds", Unit::Seconds, "From placed to an ending");
}
