//! The gateway: the public edge. It owns no data; it knows which service answers what.
//!
//! ```text
//! Owns   the public port, and which service answers which path.
//! Keeps  A request that may have been received, and may do something, is never sent twice.
//!        No answer is a hang: every wait has a deadline, every failure a problem.
//! ```

mod begun;
pub mod circuit;
pub mod config;
mod console;
mod console_settings;
mod cors;
mod description;
pub mod discovery;
mod erasure;
pub mod forward;
pub mod forwarded;
pub mod instance;
mod lists;
pub mod metrics;
mod observers;
pub mod openapi;
mod order_trace;
mod pipeline;
mod problems;
mod rates;
mod room;
pub mod routes;
mod stream;
pub mod upstreams;
mod wakes;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use chassis::{
    Caller, Chassis, Guard, Health, Problem,
    http::{ClientAddress, Edge, Handler, HttpResult, HttpServer, raw_json},
};
use rdkafka::ClientConfig;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    console::Console,
    discovery::Resolver,
    forward::{Forwarder, UpstreamRequest, peer},
    forwarded::TrustedProxies,
    observers::Observer,
    rates::{FORGET_EVERY, Rates},
    room::StreamRoom,
    routes::{RouteMatch, Service},
    stream::Streams,
    upstreams::Upstreams,
    wakes::Wakes,
};

const KEY_SET: &str = "/.well-known/jwks.json";

/// Starts the gateway, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let guard = Guard::start(&config.identity, &mut chassis.tasks, &chassis.health).await?;
    let gateway = Gateway::new(&config, Resolver::system(), guard)?;
    gateway.watch(&chassis.health);
    gateway.refresh().await;
    let [resolving, forgetting, trying] = [0; 3].map(|_| gateway.clone());
    let (every, pause) = (config.resolve_every, config.circuit_pause);
    chassis.tasks.spawn("resolver", |stop| async move {
        resolving.keep_refreshing(every, stop).await;
        Ok(())
    });
    chassis.tasks.spawn("rates", |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            forgetting.0.rates.forget();
        }
        Ok(())
    });
    chassis.tasks.spawn("circuits", move |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            trying.try_open_circuits().await;
        }
        Ok(())
    });
    let streaming = gateway.clone();
    let kafka = config.kafka.as_ref().map(|it| config.kafka_security.properties(it).collect());
    chassis.tasks.spawn("streams", |stop| streaming.stream(kafka, stop));
    let edge = edge(&config, chassis.health.clone());
    let tls = config.tls.listener().map_err(anyhow::Error::msg)?;
    let server = HttpServer { limits: config.limits, tls, ..HttpServer::default() };
    chassis.serve_with(edge, server, gateway).await?;
    chassis.wait().await
}

/// What requests pass before they come to the gateway.
pub fn edge(config: &Config, health: Health) -> Edge {
    Edge::new(health)
        .logged(config.access_log_percent)
        .cross_origin(cors::layer(&config.cors_origins))
}

/// What answers the public port. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    forwarder: Arc<Forwarder>,
    streams: Streams,
    guard: Guard,
    proxies: TrustedProxies,
    rates: Rates,
    console: Console,
    prometheus: Option<Observer>,
    jaeger: Option<Observer>,
}

impl Gateway {
    pub fn new(config: &Config, resolver: Resolver, guard: Guard) -> anyhow::Result<Self> {
        let upstreams = Upstreams::new(config, resolver);
        let forwarder = Arc::new(Forwarder { upstreams, patience: config.upstream_timeout });
        let streams = Streams {
            forwarder: Arc::clone(&forwarder),
            wakes: Wakes::new(config.kafka.is_some()),
            room: StreamRoom::new(config.live_streams_max, config.live_streams_per_caller),
            stop: CancellationToken::new(),
        };
        let observer =
            |name, url: &Option<Url>| url.as_ref().map(|url| Observer::new(name, url)).transpose();
        Ok(Self(Arc::new(Inner {
            forwarder,
            streams,
            console: Console::new(&config.console)?,
            prometheus: observer("Prometheus", &config.console.prometheus_url)?,
            jaeger: observer("Jaeger", &config.console.jaeger_url)?,
            proxies: TrustedProxies {
                networks: config.trusted_proxies.clone(),
                header: config.proxy_header,
                scheme: config.tls.scheme(),
            },
            guard,
            rates: Rates::new(config),
        })))
    }

    /// Reports in `health` which services do not answer. The gateway works while one of them does.
    pub fn watch(&self, health: &Health) {
        for service in Service::ALL {
            let gateway = self.clone();
            health.notice_known(service.name(), move || gateway.upstreams().problem(service));
        }
        let wakes = self.0.streams.wakes.clone();
        health.notice_known("streams", move || wakes.fault());
        let gateway = self.clone();
        health.probe("services", move || {
            let none = Service::ALL.into_iter().all(|it| gateway.upstreams().is_away(it));
            async move { if none { Err("no service answers".to_owned()) } else { Ok(()) } }
        });
    }

    /// Wakes the streams of orders until `stop`, then ends them.
    async fn stream(
        self,
        kafka: Option<ClientConfig>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let Streams { wakes, stop: over, .. } = &self.0.streams;
        let ended = if let Some(kafka) = kafka {
            wakes.clone().run(kafka, stop).await
        } else {
            stop.cancelled().await;
            Ok(())
        };
        over.cancel();
        ended
    }

    /// Looks the services' names up.
    pub async fn refresh(&self) {
        self.upstreams().refresh().await;
    }

    /// Tries the instances whose circuits are open.
    pub async fn try_open_circuits(&self) {
        self.upstreams().try_open_circuits().await;
    }

    async fn keep_refreshing(&self, every: Duration, stop: CancellationToken) {
        if !self.upstreams().has_names().await {
            return stop.cancelled().await;
        }
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            self.refresh().await;
        }
    }

    fn upstreams(&self) -> &Upstreams {
        &self.0.forwarder.upstreams
    }

    /// Lets a request through that its address may send, whose caller is known and may send it.
    async fn admit(&self, request: Request, client: Option<IpAddr>) -> HttpResult {
        let Inner { guard, rates, .. } = &*self.0;
        rates.check_address(client)?;
        let request = guard.admit(request).await?;
        rates.check_caller(request.extensions().get())?;
        self.route(request).await
    }

    async fn route(&self, request: Request) -> HttpResult {
        let Inner { forwarder, streams, proxies, console, .. } = &*self.0;
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix("/problems")
            && (code.is_empty() || code.starts_with('/'))
        {
            return page(request.method(), code);
        }
        if let Some(page) = description::find(path).or_else(|| console.find(path)) {
            return reading(request.method()).map(|()| page);
        }
        if path == KEY_SET {
            return self.key_set(request.method());
        }
        match routes::find(request.method().as_str(), path) {
            RouteMatch::Service(service) => {
                let asked = UpstreamRequest::read(request, proxies).await?;
                forwarder.forward(service, &asked).await
            }
            RouteMatch::All => {
                lists::list(forwarder, &UpstreamRequest::read(request, proxies).await?).await
            }
            RouteMatch::Erasure => {
                erasure::erase(forwarder, &UpstreamRequest::read(request, proxies).await?).await
            }
            RouteMatch::Begun(pointer) => {
                let asked = UpstreamRequest::read(request, proxies).await?;
                begun::pass(forwarder, &asked, pointer).await
            }
            RouteMatch::Stream => {
                let caller = request.extensions().get::<Caller>().cloned();
                let asked = UpstreamRequest::read(request, proxies).await?;
                streams.open(asked, caller.as_ref()).await
            }
            RouteMatch::Trace => {
                let asked = UpstreamRequest::read(request, proxies).await?;
                order_trace::find(self.0.jaeger.as_ref(), forwarder, &asked).await
            }
            RouteMatch::Pipeline => {
                pipeline::look(self.0.prometheus.as_ref(), request.uri().query()).await
            }
            RouteMatch::NoService(name) => {
                Err(Problem::not_found(format!("there is no service {name}")))
            }
            RouteMatch::WrongMethod(allowed) => Err(Problem::wrong_method(&allowed)),
            RouteMatch::Nothing => Err(Problem::not_found(format!("nothing is at {path}"))),
        }
    }
}

impl Gateway {
    /// The public keys of tokens, for who verifies them by this shop's address.
    fn key_set(&self, method: &Method) -> HttpResult {
        reading(method)?;
        let keys = self.0.guard.key_set();
        let keys = keys.ok_or_else(|| Problem::not_found("no keys of tokens are known here"))?;
        Ok(raw_json(StatusCode::OK, keys))
    }
}

impl Handler for Gateway {
    /// Answers a request, or refuses it by its rate before anything of it is read.
    async fn answer(&mut self, request: Request) -> Response {
        let inner = &self.0;
        let peer = peer(request.extensions());
        let client = peer.map(|peer| inner.proxies.client(peer, request.headers()));
        let response = self.admit(request, client).await;
        let mut response = response.unwrap_or_else(IntoResponse::into_response);
        if client != peer
            && let Some(client) = client
        {
            response.extensions_mut().insert(ClientAddress(client));
        }
        response
    }
}

fn page(method: &Method, code: &str) -> HttpResult {
    let page = problems::page(code.trim_matches('/'))
        .ok_or_else(|| Problem::not_found("there is no such problem"))?;
    reading(method)?;
    Ok(page)
}

/// Refuses to do anything with a page but to read it.
fn reading(method: &Method) -> Result<(), Problem> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    Err(Problem::wrong_method(&["GET", "HEAD"]))
}
