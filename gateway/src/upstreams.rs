//! The services' instances, and how one request gets an answer from one of them.
//!
//! A request is sent to another instance only when no connection could be made: once a request may
//! have been received it is never sent again, because the gateway does not know what it does.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::http::uri::Authority;
use chassis::{Code, Problem};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use metrics::Counter;
use tokio::time::Instant;

use crate::{
    circuit::{Circuit, Rule},
    config::{Address, Config},
    routes::Service,
};

/// How long an idle connection is kept: less than the 5 s after which a service closes it, so that
/// no request meets a connection that is being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(3);
/// Idle connections kept for one instance: as many as requests are under way at once.
const IDLE_CONNECTIONS_MAX: usize = 1_024;
/// A single instance is tried twice: it may just be restarting.
const ATTEMPTS_MIN: usize = 2;

/// All services' instances.
pub struct Upstreams {
    client: Client<HttpConnector, Full<Bytes>>,
    of: [Upstream; 4],
    born: Instant,
}

struct Upstream {
    service: Service,
    instances: Vec<Instance>,
    turn: AtomicUsize,
    counts: Counts,
}

struct Instance {
    address: Authority,
    circuit: Circuit,
}

/// Handles of the metrics, looked up once and not for each request.
struct Counts {
    answered: Counter,
    unreachable: Counter,
    lost: Counter,
    timed_out: Counter,
    refused: Counter,
}

/// The outcome of sending a request to one instance.
enum Attempt {
    Answered(Response<Incoming>),
    /// No connection could be made, so nothing was sent.
    Unreachable,
    /// The connection broke, and the request may have been received.
    Lost,
    TimedOut,
}

impl Upstreams {
    pub fn new(config: &Config) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .set_host(false)
            .build(connector);
        let rule = Rule { failures: config.circuit_failures, pause: config.circuit_pause };
        let of = Service::ALL.map(|service| {
            let addresses = match service {
                Service::Order => &config.order_url,
                Service::Payment => &config.payment_url,
                Service::Inventory => &config.inventory_url,
                Service::Notify => &config.notify_url,
            };
            Upstream::new(service, addresses, rule)
        });
        Self { client, of, born: Instant::now() }
    }

    /// Sends the request that `request` makes for each instance, until one answers.
    pub async fn send(
        &self,
        service: Service,
        patience: Duration,
        request: impl Fn(&Authority) -> Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Problem> {
        let upstream = self.of(service);
        let deadline = Instant::now() + patience;
        let mut refused = false;
        for _ in 0..upstream.instances.len().max(ATTEMPTS_MIN) {
            let Some(instance) = upstream.pick(self.now()) else {
                refused = true;
                break;
            };
            match self.attempt(deadline, request(&instance.address)).await {
                Attempt::Answered(response) => {
                    instance.circuit.answered();
                    upstream.counts.answered.increment(1);
                    return Ok(response);
                }
                Attempt::Unreachable => {
                    upstream.failed(instance, &upstream.counts.unreachable, self.now());
                }
                Attempt::Lost => {
                    upstream.failed(instance, &upstream.counts.lost, self.now());
                    return Err(unknown_end(service, "went away"));
                }
                Attempt::TimedOut => {
                    upstream.failed(instance, &upstream.counts.timed_out, self.now());
                    return Err(unknown_end(service, "did not answer in time"));
                }
            }
        }
        upstream.counts.refused.increment(1);
        Err(if refused { upstream.open(self.now()) } else { unreachable(service) })
    }

    async fn attempt(&self, deadline: Instant, request: Request<Full<Bytes>>) -> Attempt {
        match tokio::time::timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(response)) => Attempt::Answered(response),
            Ok(Err(error)) if error.is_connect() => Attempt::Unreachable,
            Ok(Err(_)) => Attempt::Lost,
            Err(_) => Attempt::TimedOut,
        }
    }

    /// What is wrong with a service, as far as its requests have shown.
    pub fn wrong(&self, service: Service) -> Option<String> {
        let upstream = self.of(service);
        let closed = upstream.instances.iter().any(|instance| instance.circuit.is_closed());
        (!closed).then(|| format!("none of its {} instances answers", upstream.instances.len()))
    }

    fn of(&self, service: Service) -> &Upstream {
        match service {
            Service::Order => &self.of[0],
            Service::Payment => &self.of[1],
            Service::Inventory => &self.of[2],
            Service::Notify => &self.of[3],
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Upstream {
    fn new(service: Service, addresses: &[Address], rule: Rule) -> Self {
        let instances = addresses
            .iter()
            .map(|address| Instance { address: address.0.clone(), circuit: Circuit::new(rule) });
        let counter = |result: &'static str| {
            metrics::counter!("upstream_requests_total", "service" => service.name(),
                "result" => result)
        };
        Self {
            service,
            instances: instances.collect(),
            turn: AtomicUsize::new(0),
            counts: Counts {
                answered: counter("answered"),
                unreachable: counter("unreachable"),
                lost: counter("lost"),
                timed_out: counter("timed_out"),
                refused: counter("refused"),
            },
        }
    }

    /// The next instance in turn whose circuit lets a request through.
    fn pick(&self, now: u64) -> Option<&Instance> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.instances.len();
        (0..count)
            .map(|step| &self.instances[turn.wrapping_add(step) % count])
            .find(|instance| instance.circuit.admits(now))
    }

    fn failed(&self, instance: &Instance, count: &Counter, now: u64) {
        count.increment(1);
        if instance.circuit.failed(now) {
            let (service, address) = (self.service, &instance.address);
            tracing::warn!("{service} at {address} does not answer: it is left alone for a while");
        }
    }

    fn open(&self, now: u64) -> Problem {
        let waits = self.instances.iter().map(|instance| instance.circuit.wait(now));
        let wait = waits.min().unwrap_or_default().as_millis().div_ceil(1_000).max(1);
        let detail = format!("{} does not answer; it is tried again soon", self.service);
        Problem::new(Code::CircuitOpen, detail).retry_after(u32::try_from(wait).unwrap_or(1))
    }
}

fn unreachable(service: Service) -> Problem {
    let detail = format!("{service} cannot be reached; nothing was done");
    Problem::new(Code::Overloaded, detail).retry_after(1)
}

fn unknown_end(service: Service, what: &str) -> Problem {
    let detail = format!(
        "{service} {what}; the request may have taken effect, \
         so repeat it with the same Idempotency-Key"
    );
    Problem::new(Code::Overloaded, detail).retry_after(1)
}
