//! The services' instances, and how one request gets an answer from one of them.
//!
//! A request is sent to another instance only when nothing of it was sent, or when it only reads:
//! once another may have been received it is never sent again, because the gateway does not know
//! what it does.

use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::uri::PathAndQuery;
use chassis::{Code, Problem};
use futures::future::join_all;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    circuit::{CircuitState, Rule},
    config::Config,
    discovery::{Endpoint, Resolver},
    instance::{Attempt, Instance, InstanceConfig, Passage, UpstreamBody},
    metrics::UpstreamMeters,
    routes::Service,
};

/// A single instance is tried twice: it may just be restarting.
const ATTEMPTS_MIN: usize = 2;
/// However many instances there are: a request that meets so many that are away meets an outage.
const ATTEMPTS_MAX: usize = 5;

/// How long an instance may take to answer a trial, once it is connected.
const TRIAL: Duration = Duration::from_secs(1);
/// What it is asked.
const HEALTH: &str = "/health";

/// All services' instances.
pub struct Upstreams {
    of: [Upstream; 4],
    resolver: Resolver,
    instance_config: InstanceConfig,
    /// How long a service may be silent in the middle of an answer.
    stall: Duration,
    born: Instant,
}

struct Upstream {
    service: Service,
    instances: RwLock<Arc<[Arc<Instance>]>>,
    endpoints: Mutex<Vec<Endpoint>>,
    turn: AtomicUsize,
    meters: UpstreamMeters,
}

/// How a request may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long all attempts together may take.
    pub limit: Duration,
    /// Whether the request only reads, so that it may be sent twice.
    pub is_safe: bool,
}

impl Upstreams {
    /// The services' instances, those with names not yet looked up: see [`Upstreams::refresh`].
    pub fn new(config: &Config, resolver: Resolver) -> Self {
        let rule = Rule { calls: config.circuit_calls, pause: config.circuit_pause };
        let instance_config = InstanceConfig { rule, connect_timeout: config.connect_timeout };
        let of = Service::ALL.map(|service| {
            let addresses = match service {
                Service::Order => &config.order_url,
                Service::Payment => &config.payment_url,
                Service::Inventory => &config.inventory_url,
                Service::Notify => &config.notify_url,
            };
            Upstream::new(service, addresses.iter().map(Endpoint::new).collect(), instance_config)
        });
        Self { of, resolver, instance_config, stall: config.upstream_timeout, born: Instant::now() }
    }

    /// Looks all names up. Instances that are no longer found get no new requests.
    pub async fn refresh(&self) {
        for upstream in &self.of {
            upstream.refresh(&self.resolver, self.instance_config).await;
        }
    }

    /// Sends the request that `request` makes for each instance, until one answers.
    pub async fn send(
        &self,
        service: Service,
        patience: Patience,
        request: impl Fn(&Instance) -> Request<Full<Bytes>>,
    ) -> Result<Response<UpstreamBody>, Problem> {
        let upstream = self.of(service);
        let deadline = Instant::now() + patience.limit;
        let instances = upstream.instances();
        // Allocates nothing until something fails.
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut may_repeat = patience.is_safe;
        for _ in 0..instances.len().clamp(ATTEMPTS_MIN, ATTEMPTS_MAX) {
            let Some(mut passage) = upstream.pick(&instances, &tried, self.now()) else { break };
            let sent = passage.instance.send(request(&passage.instance), deadline).await;
            let (count, problem) = match sent {
                Attempt::Answered(response) => {
                    let has_failed = passage.answered(&response, self.now());
                    let meters = &upstream.meters;
                    let count = if has_failed { &meters.unavailable } else { &meters.answered };
                    count.increment(1);
                    return Ok(response.map(|body| UpstreamBody::new(body, self.stall, passage)));
                }
                Attempt::Unsent => (&upstream.meters.unreachable, None),
                Attempt::Lost => {
                    let again = std::mem::take(&mut may_repeat);
                    let problem = (!again).then(|| unknown_end(service, "went away"));
                    (&upstream.meters.lost, problem)
                }
                Attempt::TimedOut => {
                    let problem = unknown_end(service, "did not answer in time");
                    (&upstream.meters.timed_out, Some(problem))
                }
            };
            count.increment(1);
            passage.failed(self.now());
            if let Some(problem) = problem {
                return Err(problem);
            }
            upstream.meters.retried.increment(1);
            tried.push(passage.instance.address);
        }
        upstream.meters.refused.increment(1);
        Err(upstream.unanswered(&instances, self.now()))
    }

    /// Tries every instance whose circuit is open and due for its trial, so that one that is back is
    /// used again although nobody asks for it: a gateway that is not ready gets no requests.
    pub async fn try_open_circuits(&self) {
        let deadline = Instant::now() + self.instance_config.connect_timeout + TRIAL;
        let trials = self.of.iter().flat_map(|upstream| upstream.instances().to_vec());
        let trials = trials.filter(|it| it.circuit.state() == CircuitState::Open);
        let trials = trials.filter_map(|instance| instance.enter(self.now()));
        join_all(trials.map(async |mut passage| {
            let request = passage.instance.request(PathAndQuery::from_static(HEALTH), Bytes::new());
            match passage.instance.send(request, deadline).await {
                Attempt::Answered(response) => drop(passage.answered(&response, self.now())),
                Attempt::Unsent | Attempt::Lost | Attempt::TimedOut => passage.failed(self.now()),
            }
        }))
        .await;
    }

    /// What is wrong with a service, as far as its requests and look-ups have shown.
    pub fn problem(&self, service: Service) -> Option<String> {
        let upstream = self.of(service);
        let instances = upstream.instances();
        let states = instances.iter().map(|instance| (instance.address, instance.circuit.state()));
        let troubled = states.filter(|(_, state)| *state != CircuitState::Closed);
        let mut all: Vec<String> =
            troubled.map(|(address, state)| format!("circuit {state} at {address}")).collect();
        if !all.is_empty() {
            all.push(format!(
                "{} of {} instances in use",
                instances.len() - all.len(),
                instances.len()
            ));
        }
        if instances.is_empty() {
            all.push("no instance is known".to_owned());
        }
        // A look-up that is under way has no news.
        if let Ok(endpoints) = upstream.endpoints.try_lock() {
            all.extend(endpoints.iter().filter_map(|endpoint| endpoint.problem.clone()));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether no instance of a service is in use.
    pub fn is_away(&self, service: Service) -> bool {
        let instances = self.of(service).instances();
        !instances.iter().any(|instance| instance.circuit.state() == CircuitState::Closed)
    }

    /// Whether there are names to look up.
    pub async fn has_names(&self) -> bool {
        for upstream in &self.of {
            if upstream.endpoints.lock().await.iter().any(|endpoint| !endpoint.is_address()) {
                return true;
            }
        }
        false
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
    fn new(service: Service, endpoints: Vec<Endpoint>, instance_config: InstanceConfig) -> Self {
        let this = Self {
            service,
            instances: RwLock::new(Arc::from([])),
            turn: AtomicUsize::new(0),
            meters: UpstreamMeters::new(service),
            endpoints: Mutex::default(),
        };
        this.replace(&endpoints, instance_config);
        Self { endpoints: Mutex::new(endpoints), ..this }
    }

    fn instances(&self) -> Arc<[Arc<Instance>]> {
        Arc::clone(&self.instances.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn refresh(&self, resolver: &Resolver, instance_config: InstanceConfig) {
        let mut endpoints = self.endpoints.lock().await;
        for endpoint in endpoints.iter_mut().filter(|endpoint| !endpoint.is_address()) {
            endpoint.refresh(resolver).await;
        }
        self.replace(&endpoints, instance_config);
    }

    /// Uses the instances that were found. Those that are known already are kept with their
    /// circuits; the others' idle connections end with them, and their requests when they are
    /// answered.
    fn replace(&self, endpoints: &[Endpoint], instance_config: InstanceConfig) {
        let before = self.instances();
        let mut now: Vec<Arc<Instance>> = Vec::new();
        for endpoint in endpoints {
            for address in &endpoint.found {
                if now.iter().any(|instance| instance.address == *address) {
                    continue;
                }
                let known = before.iter().find(|instance| instance.address == *address);
                now.push(known.map_or_else(
                    || {
                        Arc::new(Instance::new(
                            self.service,
                            *address,
                            &endpoint.authority,
                            instance_config,
                        ))
                    },
                    Arc::clone,
                ));
            }
        }
        let is_new = |it: &Arc<Instance>, than: &[Arc<Instance>]| {
            !than.iter().any(|other| other.address == it.address)
        };
        let service = self.service;
        for instance in now.iter().filter(|instance| is_new(instance, &before)) {
            tracing::info!(%service, address = %instance.address, "an instance is used");
        }
        for instance in before.iter().filter(|instance| is_new(instance, &now)) {
            tracing::info!(%service, address = %instance.address, "an instance has left");
            instance.leave();
        }
        let count = u32::try_from(now.len()).unwrap_or(u32::MAX);
        self.meters.instances.set(f64::from(count));
        *self.instances.write().unwrap_or_else(PoisonError::into_inner) = now.into();
    }

    /// The instance with the least under way whose circuit lets a request through; of equals, the
    /// next in turn. One that was tried already is tried again only if there is no other.
    fn pick(&self, instances: &[Arc<Instance>], tried: &[SocketAddr], now: u64) -> Option<Passage> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Another request may take the trial of a circuit meanwhile.
        for _ in 0..=instances.len() {
            let in_turn = (0..instances.len())
                .map(|step| &instances[turn.wrapping_add(step) % instances.len()]);
            let best = in_turn
                .filter(|instance| instance.circuit.admits(now))
                .min_by_key(|instance| (tried.contains(&instance.address), instance.load(now)))?;
            if let Some(passage) = best.enter(now) {
                return Some(passage);
            }
        }
        None
    }

    /// The answer when no instance was asked, or none could be reached.
    fn unanswered(&self, instances: &[Arc<Instance>], now: u64) -> Problem {
        let service = self.service;
        let are_open = !instances.is_empty()
            && instances.iter().all(|it| it.circuit.state() != CircuitState::Closed);
        if !are_open {
            let detail = format!("{service} cannot be reached; nothing was done");
            return Problem::new(Code::Overloaded, detail).retry_after(1);
        }
        let waits = instances.iter().map(|instance| instance.circuit.wait(now));
        let wait = waits.min().unwrap_or_default().as_millis().div_ceil(1_000).max(1);
        let detail = format!("{service} does not answer; it is tried again soon");
        Problem::new(Code::CircuitOpen, detail).retry_after(u32::try_from(wait).unwrap_or(1))
    }
}

fn unknown_end(service: Service, what: &str) -> Problem {
    let detail = format!(
        "{service} {what}; the request may have taken effect, \
         so repeat it with the same Idempotency-Key"
    );
    Problem::new(Code::Overloaded, detail).retry_after(1)
}
