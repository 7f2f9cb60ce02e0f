//! The health of the process: whether it can do its work, and what is wrong if it cannot.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

/// Limit of a probe: one that has not answered by then has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

#[derive(Clone)]
struct Probe {
    name: &'static str,
    check: Check,
    /// Whether the process can work although the probe fails.
    notice: bool,
}

/// The process's probes. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    service: &'static str,
    started: Arc<AtomicBool>,
    stop: CancellationToken,
    probes: Mutex<Vec<Probe>>,
}

/// The results of all probes.
#[derive(Debug, Serialize)]
pub struct HealthReport {
    pub status: &'static str,
    pub service: &'static str,
    /// What is wrong, by the probe's name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub problems: Map<String, serde_json::Value>,
}

impl HealthReport {
    /// Whether every part of the process works, as the last look at each found.
    pub fn is_healthy(&self) -> bool {
        self.status == HEALTHY
    }
}

impl Health {
    /// `started` is true once the process has started; `stop` is cancelled when it begins to drain.
    pub fn new(service: &'static str, started: Arc<AtomicBool>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { service, started, stop, probes: Mutex::default() }))
    }

    /// Adds a probe, whose `Err` says what is wrong. It is called for each request of the health,
    /// besides the process's work: so it must not wait for what that work may exhaust, such as a
    /// pool's connection.
    pub fn probe<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(Probe { name, check: Arc::new(move || Box::pin(check())), notice: false });
    }

    /// Adds a probe of something that the process can do without: its `Err` is shown among the
    /// problems, and the process counts as healthy all the same.
    pub fn notice<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(Probe { name, check: Arc::new(move || Box::pin(check())), notice: true });
    }

    /// As [`Health::notice`], for a fault that is known without waiting.
    pub fn notice_known(
        &self,
        name: &'static str,
        fault: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        self.notice(name, move || ready(fault().map_or(Ok(()), Err)));
    }

    fn add(&self, probe: Probe) {
        self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).push(probe);
    }

    /// The service's name, as the health shows it.
    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// The content of `/health`.
    pub async fn report(&self) -> HealthReport {
        let probes = self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems = Map::new();
        let mut status = HEALTHY;
        for Probe { name, check, notice } in probes {
            let said = tokio::time::timeout(PROBE_TIMEOUT, check()).await;
            if let Err(wrong) = said.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())) {
                problems.insert(name.to_owned(), wrong.into());
                status = if notice { status } else { UNHEALTHY };
            }
        }
        HealthReport { status, service: self.0.service, problems }
    }

    /// The content of `/readyz`: not ready while the process is unhealthy, starting or stopping.
    pub async fn readiness(&self) -> HealthReport {
        let mut report = self.report().await;
        let phase = if self.0.stop.is_cancelled() {
            Some("stopping")
        } else if self.0.started.load(Ordering::Acquire) {
            None
        } else {
            Some("starting")
        };
        if let Some(phase) = phase {
            report.status = UNHEALTHY;
            report.problems.insert("process".to_owned(), phase.into());
        }
        report
    }
}
