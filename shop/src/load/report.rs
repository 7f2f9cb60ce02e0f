//! The result of a run: the object of `--json`, and lines for people.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::book::Tally;

/// The object of `shop load --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadReport {
    pub accepted: u64,
    pub rejected: u64,
    pub confirmed: u64,
    pub cancelled: u64,
    pub unfinished: u64,
    pub errors: u64,
    pub seconds: f64,
    pub orders_per_s: f64,
    pub accept_ms: Percentiles,
    pub end_to_end_ms: Percentiles,
    pub cpu_s: BTreeMap<String, f64>,
    /// Only in the lines for people; the object of `--json` is fixed.
    #[serde(skip)]
    pub refusals: BTreeMap<String, u64>,
}

/// Percentiles of a time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a measurement")]
    fn of(micros: &Histogram<u64>) -> Self {
        let ms = |value: u64| value as f64 / 1000.0;
        let at = |quantile| ms(micros.value_at_quantile(quantile));
        Self { p50: at(0.50), p95: at(0.95), p99: at(0.99), max: ms(micros.max()) }
    }
}

impl LoadReport {
    /// Makes the report from the counts. `lasted` runs from the first counted start to the last
    /// final event, so that a backlog left behind lowers the rate.
    #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a measurement")]
    pub(super) fn new(
        tally: &Tally,
        unfinished: u64,
        lasted: Duration,
        cpu: BTreeMap<String, f64>,
    ) -> Self {
        let seconds = lasted.as_secs_f64();
        let through = tally.confirmed + tally.cancelled;
        let rate = if seconds > 0.0 { through as f64 / seconds } else { 0.0 };
        Self {
            accepted: tally.accepted,
            rejected: tally.rejected,
            confirmed: tally.confirmed,
            cancelled: tally.cancelled,
            unfinished,
            errors: tally.errors,
            seconds: (seconds * 1000.0).round() / 1000.0,
            orders_per_s: (rate * 10.0).round() / 10.0,
            accept_ms: Percentiles::of(&tally.accept),
            end_to_end_ms: Percentiles::of(&tally.end_to_end),
            cpu_s: cpu,
            refusals: tally.refusals.clone(),
        }
    }

    /// The report as lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} accepted, {} rejected, {} errors in {:.1} s",
                self.accepted, self.rejected, self.errors, self.seconds
            ),
            format!(
                "{} confirmed, {} cancelled, {} unfinished: {:.1} orders/s to their end",
                self.confirmed, self.cancelled, self.unfinished, self.orders_per_s
            ),
            percentiles("accepted after", self.accept_ms),
            percentiles("ended after", self.end_to_end_ms),
        ];
        if !self.refusals.is_empty() {
            lines.push(format!("refused: {}", list(&self.refusals, ToString::to_string)));
        }
        lines.push(format!("CPU seconds: {}", list(&self.cpu_s, |spent| format!("{spent:.2}"))));
        lines
    }
}

fn percentiles(what: &str, found: Percentiles) -> String {
    let Percentiles { p50, p95, p99, max } = found;
    format!("{what:<15} p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
}

fn list<V>(map: &BTreeMap<String, V>, show: impl Fn(&V) -> String) -> String {
    map.iter().map(|(name, value)| format!("{name} {}", show(value))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Instant};

    use super::super::book::{Book, OrderEnd, PlacedOrder};
    use super::super::plan::Kind;
    use super::*;

    fn a_report() -> LoadReport {
        let (mut book, start) = (Book::default(), Instant::now());
        let placed = PlacedOrder { intended: start, kind: Kind::Happy, counted: true };
        for order in 0..100 {
            book.accepted(order, placed, start + Duration::from_millis(5));
            book.ended(order, OrderEnd::Confirmed, start + Duration::from_millis(20));
        }
        book.rejected(placed, "overloaded".into());
        let cpu = BTreeMap::from([("gateway".to_owned(), 0.5)]);
        LoadReport::new(book.tally(), 0, Duration::from_secs(2), cpu)
    }

    #[test]
    fn the_object_has_the_members_of_the_contract() {
        let json = serde_json::to_value(a_report()).unwrap();
        let members: BTreeSet<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "accepted",
            "rejected",
            "confirmed",
            "cancelled",
            "unfinished",
            "errors",
            "seconds",
            "orders_per_s",
            "accept_ms",
            "end_to_end_ms",
            "cpu_s",
        ];
        assert_eq!(members, expected.into());
        assert_eq!(json["accept_ms"].as_object().unwrap().len(), 4);
    }

    #[test]
    fn rates_and_percentiles_are_in_seconds_and_milliseconds() {
        let report = a_report();
        assert!((report.orders_per_s - 50.0).abs() < 1e-9);
        assert!((report.accept_ms.p50 - 5.0).abs() < 0.01);
        assert!((report.end_to_end_ms.p99 - 20.0).abs() < 0.02);
        assert!(report.lines().iter().any(|line| line == "refused: overloaded 1"));
    }
}
