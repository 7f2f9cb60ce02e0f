//! The metrics of every process, as the programs describe them: docs/metrics.md is made of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

/// A metric, as its program describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMetric {
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// What it means, with its labels in backquotes.
    pub help: String,
}

impl DescribedMetric {
    /// The names in backquotes: its labels.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.help.split('`').skip(1).step_by(2).collect()
    }
}

/// The metrics of one program or of many, by name.
pub type MetricsByName = BTreeMap<String, DescribedMetric>;

/// A title of the page, the processes that it is about, and what describes their metrics.
type Chapter = (&'static str, &'static [&'static str], fn());

/// Who describes metrics, in the order of the page.
const DESCRIBERS: [Chapter; 10] = [
    ("Every process", PROCESSES, chassis::describe_metrics),
    ("Every service: its pool", SERVICES, chassis::describe_pool_metrics),
    ("Every service: messages and commands", SERVICES, mailbox::describe_metrics),
    ("order-svc", &["order-svc"], order_svc::metrics::describe),
    ("payment-svc", &["payment-svc"], payment_svc::metrics::describe),
    ("inventory-svc", &["inventory-svc"], inventory_svc::metrics::describe),
    ("notify-svc", &["notify-svc"], notify_svc::metrics::describe),
    ("gateway", &["gateway"], gateway::metrics::describe),
    ("outbox-relay", &["outbox-relay"], outbox_relay::metrics::describe),
    ("shop audit --watch", &["audit"], shop::audit::watch::describe_metrics),
];

/// All processes with metrics.
pub const PROCESSES: &[&str] = &[
    "order-svc",
    "payment-svc",
    "inventory-svc",
    "notify-svc",
    "gateway",
    "outbox-relay",
    "simulator",
    "smtp-sink",
    "audit",
];
const SERVICES: &[&str] = &["order-svc", "payment-svc", "inventory-svc", "notify-svc"];

const HEAD: &str = "# Metrics

What each process shows at `/metrics` on its private port, for Prometheus. This page is generated: change the program,
then run `make prepare`. Labels are in `backquotes`; none ever holds an id. Histograms are in seconds, from 1 ms to 10 s,
or in items where the name ends in `_batch`. What has not happened yet is shown at 0; a histogram is shown with its first
value. Dashboards and alerts are made of these (deploy/grafana, deploy/prometheus), and a test runs each of their
expressions on a live shop.
";

/// What `process` describes.
pub fn of(process: &str) -> MetricsByName {
    let own = DESCRIBERS.iter().filter(|(_, processes, _)| processes.contains(&process));
    own.flat_map(|(_, _, describe)| described(*describe)).collect()
}

/// What any process describes.
pub fn all() -> MetricsByName {
    PROCESSES.iter().flat_map(|process| of(process)).collect()
}

/// The page of all metrics.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, _, describe) in DESCRIBERS {
        write!(page, "\n## {title}\n\n| metric | kind | |\n|---|---|---|\n").unwrap_or_default();
        for (name, DescribedMetric { kind, help }) in described(describe) {
            writeln!(page, "| `{name}` | {kind} | {help} |").unwrap_or_default();
        }
    }
    page
}

/// What a function describes.
fn described(describe: fn()) -> MetricsByName {
    let notes = Notes::default();
    with_local_recorder(&notes, describe);
    notes.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A recorder that only takes note of what is described.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<MetricsByName>>);

impl Notes {
    fn note(&self, kind: &'static str, name: &KeyName, help: &SharedString) {
        let metric = DescribedMetric { kind, help: help.to_string() };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.as_str().to_owned(), metric);
    }
}

impl Recorder for Notes {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("counter", &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("gauge", &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.note("histogram", &name, &help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
