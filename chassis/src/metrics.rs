//! The metrics that every process has; others are in the `metrics.rs` of their crates.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_process::Collector;
use proto::words;
use sqlx::PgPool;

const BUILD_INFO: &str = "build_info";
const REQUESTS: &str = "http_requests_total";
const REQUEST_SECONDS: &str = "http_request_seconds";
const REFUSALS: &str = "identity_refusals_total";
const CONNECTIONS: &str = "db_connections";
const CONNECTIONS_MAX: &str = "db_connections_max";

/// What a request to no known path is counted under.
const NO_ROUTE: &str = "none";

words! {
    /// Why nobody is let in, as a label.
    pub(crate) enum IdentityRefusal {
        Expired = "expired",
        Forbidden = "forbidden",
        Invalid = "invalid",
        NoKeys = "no_keys",
    }
}

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe_metrics() {
    describe_gauge!(BUILD_INFO, "1, with the `version` of the build");
    describe_counter!(REQUESTS, "Requests by `method`, `route` and `status`");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "From a request's head to its answer's, by `method` and `route`"
    );
    describe_counter!(REFUSALS, "Requests of callers who may not, by `reason`");
    Collector::default().describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1);
    for refusal in IdentityRefusal::ALL {
        let _shown = counter!(REFUSALS, "reason" => refusal.as_str());
    }
}

/// Describes the metrics of a process that has a pool of connections to its database.
pub fn describe_pool_metrics() {
    describe_gauge!(CONNECTIONS, "Connections of the pool for reading, by `state`: busy or idle");
    describe_gauge!(CONNECTIONS_MAX, "As many connections as that pool may have");
}

/// A request that was answered. `route` is the template of its path, if it has one.
pub(crate) fn request(
    method: &Method,
    route: Option<&'static str>,
    status: StatusCode,
    took: Duration,
) {
    let (method, route) = (name_of(method), route.unwrap_or(NO_ROUTE));
    let status = status.as_str().to_owned();
    counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method, "route" => route).record(took);
}

/// The method as a label; those that nothing is served for are one, because a client may make up
/// any number of them.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A request of somebody who may not make it.
pub(crate) fn refused(refusal: IdentityRefusal) {
    counter!(REFUSALS, "reason" => refusal.as_str()).increment(1);
}

type Probe = Box<dyn Fn() + Send>;

/// What is measured when somebody asks: gauges whose value is always at hand.
#[derive(Clone, Default)]
pub struct Probes(Arc<Mutex<Vec<Probe>>>);

impl Probes {
    /// Sets gauges each time before the metrics are shown. It must not block.
    pub fn add(&self, probe: impl Fn() + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(probe));
    }

    /// Shows how many connections of `pool` are in use.
    pub fn add_pool(&self, pool: PgPool) {
        describe_pool_metrics();
        self.add(move || {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            gauge!(CONNECTIONS, "state" => "idle").set(idle);
            gauge!(CONNECTIONS, "state" => "busy").set(pool.size().saturating_sub(idle));
            gauge!(CONNECTIONS_MAX).set(pool.options().get_max_connections());
        });
    }

    /// Measures all, and what the operating system knows of this process.
    pub(crate) fn measure(&self) {
        Collector::default().collect();
        for probe in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            probe();
        }
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}
