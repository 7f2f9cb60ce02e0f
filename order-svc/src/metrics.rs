//! What this service counts, beside what the mailbox and the edge count for all.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::collections::BTreeMap;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use proto::Money;
use time::{Duration, OffsetDateTime};

use crate::domain::{Reason, SAGA_EXPECTATIONS};

const PLACED: &str = "orders_placed_total";
const REFUSED: &str = "orders_refused_total";
const ENDINGS: &str = "order_endings_total";
const CONFIRMED: &str = "order_confirmed_minor_units_total";
const SETTLE: &str = "order_settle_seconds";
const UNFINISHED: &str = "sagas_unfinished";
const LATE: &str = "sagas_late";
const STUCK: &str = "sagas_stuck";
const OLDEST: &str = "saga_oldest_seconds";
const EXPECTATIONS: &str = "saga_expectations";

/// The label of an order that was confirmed; one that was cancelled has its reason.
const CONFIRMED_ENDING: &str = "confirmed";

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    /// With this total.
    Confirmed(Money),
    Cancelled(Reason),
}

/// The orders that are not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedOrders {
    /// How many there are.
    pub count: i64,
    /// Since when the oldest of them is unfinished.
    pub since: Option<OffsetDateTime>,
    /// Those for which something is overdue.
    pub late: u32,
    /// Those that somebody should look at: late, to be settled by staff, or with a parked key.
    pub stuck: u32,
    /// How many wait for what.
    pub expect: BTreeMap<&'static str, u32>,
}

/// The metrics' handles, looked up once.
pub struct Metrics {
    placed: Counter,
    settle: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { placed: counter!(PLACED), settle: histogram!(SETTLE) }
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
            OrderEnd::Confirmed(total) => {
                let units = u64::try_from(total.amount().mantissa()).unwrap_or_default();
                let currency = total.currency().code();
                counter!(CONFIRMED, "currency" => currency).increment(units);
                CONFIRMED_ENDING
            }
            OrderEnd::Cancelled(reason) => reason.as_str(),
        };
        counter!(ENDINGS, "ending" => label).increment(1);
        self.settle.record(after.as_seconds_f64());
    }
}

/// An order that was refused because too many others wait.
pub(crate) fn refused() {
    counter!(REFUSED).increment(1);
}

/// Shows how the orders stand that are not finished.
pub fn unfinished(orders: &UnfinishedOrders, now: OffsetDateTime) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    gauge!(UNFINISHED).set(orders.count as f64);
    gauge!(LATE).set(orders.late);
    gauge!(STUCK).set(orders.stuck);
    let age = orders.since.map_or(Duration::ZERO, |since| now - since);
    gauge!(OLDEST).set(age.as_seconds_f64());
    for step in SAGA_EXPECTATIONS {
        let count = orders.expect.get(step).copied().unwrap_or_default();
        gauge!(EXPECTATIONS, "expects" => step).set(count);
    }
}

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe() {
    describe_counter!(PLACED, "Orders accepted");
    describe_counter!(REFUSED, "Orders refused as `overloaded`");
    describe_counter!(
        ENDINGS,
        "Orders ended, by `ending`: confirmed, or the reason of the cancellation"
    );
    describe_counter!(CONFIRMED, "Totals of confirmed orders by `currency`, in its smallest unit");
    describe_histogram!(SETTLE, Unit::Seconds, "From placed to an ending");
    describe_gauge!(UNFINISHED, "Orders that are not finished");
    describe_gauge!(LATE, "Unfinished orders for which something is overdue");
    describe_gauge!(STUCK, "Unfinished orders that are late, owed a refund or parked");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest unfinished order");
    describe_gauge!(EXPECTATIONS, "Unfinished orders by what they wait for: `expects`");
    let _shown = (counter!(PLACED), counter!(REFUSED));
    let reasons = Reason::ALL.map(Reason::as_str);
    for ending in [CONFIRMED_ENDING].into_iter().chain(reasons) {
        let _shown = counter!(ENDINGS, "ending" => ending);
    }
    unfinished(&UnfinishedOrders::default(), OffsetDateTime::UNIX_EPOCH);
}
