//! Whether the process can do its work, and what is wrong when it cannot.

use std::{
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

/// A probe that has not answered by then has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

type Checked = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Arc<dyn Fn() -> Checked + Send + Sync>;

/// The process's probes. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    service: &'static str,
    started: Arc<AtomicBool>,
    stop: CancellationToken,
    probes: Mutex<Vec<(&'static str, Check)>>,
}

/// What the probes said.
#[derive(Debug, Serialize)]
pub struct Report {
    pub status: &'static str,
    pub service: &'static str,
    /// What is wrong, by probe.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub problems: Map<String, serde_json::Value>,
}

impl Report {
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Health {
    /// `started` turns true when the process has started; `stop` is cancelled when it drains.
    pub fn new(service: &'static str, started: Arc<AtomicBool>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { service, started, stop, probes: Mutex::default() }))
    }

    /// Adds a probe: `Err` says what is wrong. It is called for each look at the health, and runs
    /// beside the work, so it must not wait for what the work may exhaust (a pool's connection).
    pub fn probe<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).push((name, check));
    }

    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// What `/health` says.
    pub async fn report(&self) -> Report {
        let probes = self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems = Map::new();
        for (name, check) in probes {
            let said = tokio::time::timeout(PROBE_TIMEOUT, check()).await;
            if let Err(wrong) = said.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())) {
                problems.insert(name.to_owned(), wrong.into());
            }
        }
        let status = if problems.is_empty() { "healthy" } else { "unhealthy" };
        Report { status, service: self.0.service, problems }
    }

    /// What `/readyz` says: healthy, and neither starting nor stopping.
    pub async fn readiness(&self) -> Report {
        let mut report = self.report().await;
        let phase = if self.0.stop.is_cancelled() {
            Some("stopping")
        } else if self.0.started.load(Ordering::Acquire) {
            None
        } else {
            Some("starting")
        };
        if let Some(phase) = phase {
            report.status = "unhealthy";
            report.problems.insert("process".to_owned(), phase.into());
        }
        report
    }
}
