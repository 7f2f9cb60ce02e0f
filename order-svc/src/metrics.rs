//! What this service counts.

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use time::Duration;

/// How an order ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    Confirmed,
    /// With the word of the cancellation's reason.
    Cancelled(&'static str),
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

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!("orders_placed_total", "Orders accepted");
    describe_counter!(
        "order_endings_total",
        "Orders ended: confirmed, or the reason of the cancellation"
    );
    describe_histogram!("order_settle_seconds", Unit::Seconds, "From placed to an ending");
}
