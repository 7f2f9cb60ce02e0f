//! The gateway: the public edge. It owns no data; it knows which service answers what.
//!
//! ```text
//! Owns   the public port, and which service answers which path.
//! Keeps  A request that may have been received is never sent twice.
//!        No answer is a hang: every wait has a deadline, every failure a problem.
//! ```

pub mod circuit;
pub mod config;
mod erasure;
pub mod forward;
mod lists;
mod problems;
mod replays;
pub mod routes;
pub mod upstreams;

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use chassis::{
    Chassis, Code, Guard, Health, Problem,
    http::{Handler, raw_json},
};

use crate::{
    config::Config,
    forward::{Forwarder, UpstreamRequest},
    routes::{RouteMatch, Service},
    upstreams::Upstreams,
};

const KEY_SET: &str = "/.well-known/jwks.json";

/// Starts the gateway, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let guard = Guard::start(&config.identity, &mut chassis).await?;
    let gateway = Gateway::new(&config, guard.clone());
    gateway.watch(&chassis.health);
    chassis.serve(guard.protect(gateway)).await?;
    chassis.wait().await
}

/// What answers the public port.
#[derive(Clone)]
pub struct Gateway {
    forwarder: Forwarder,
    guard: Guard,
}

impl Gateway {
    pub fn new(config: &Config, guard: Guard) -> Self {
        let upstreams = Arc::new(Upstreams::new(config));
        Self { forwarder: Forwarder { upstreams, patience: config.upstream_timeout }, guard }
    }

    /// Reports in `health` which services do not answer. The gateway works while one of them does.
    pub fn watch(&self, health: &Health) {
        for service in Service::ALL {
            let upstreams = Arc::clone(&self.forwarder.upstreams);
            health.notice(service.name(), move || {
                let wrong = upstreams.wrong(service).map_or(Ok(()), Err);
                async move { wrong }
            });
        }
        let upstreams = Arc::clone(&self.forwarder.upstreams);
        health.probe("services", move || {
            let none = Service::ALL.into_iter().all(|service| upstreams.wrong(service).is_some());
            async move { if none { Err("no service answers".to_owned()) } else { Ok(()) } }
        });
    }

    async fn route(&self, request: Request) -> Result<Response, Problem> {
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix("/problems")
            && (code.is_empty() || code.starts_with('/'))
        {
            return page(request.method(), code);
        }
        if path == KEY_SET {
            return self.key_set(request.method());
        }
        match routes::find(request.method().as_str(), path) {
            RouteMatch::Service(service) => {
                let asked = UpstreamRequest::read(request).await?;
                self.forwarder.forward(service, &asked).await
            }
            RouteMatch::All => {
                lists::list(&self.forwarder, &UpstreamRequest::read(request).await?).await
            }
            RouteMatch::Erasure => {
                erasure::erase(&self.forwarder, &UpstreamRequest::read(request).await?).await
            }
            RouteMatch::Replays => {
                replays::pass(&self.forwarder, &UpstreamRequest::read(request).await?).await
            }
            RouteMatch::NoService(name) => {
                Err(Problem::not_found(format!("there is no service {name}")))
            }
            RouteMatch::WrongMethod(allowed) => Err(wrong_method(&allowed)),
            RouteMatch::Nothing => Err(Problem::not_found(format!("nothing is at {path}"))),
        }
    }
}

impl Gateway {
    /// The public keys of tokens, for who verifies them by this shop's address.
    fn key_set(&self, method: &Method) -> Result<Response, Problem> {
        if method != Method::GET && method != Method::HEAD {
            return Err(wrong_method(&["GET", "HEAD"]));
        }
        let keys = self.guard.key_set();
        let keys = keys.ok_or_else(|| Problem::not_found("no keys of tokens are known here"))?;
        Ok(raw_json(StatusCode::OK, keys))
    }
}

impl Handler for Gateway {
    async fn answer(&mut self, request: Request) -> Response {
        self.route(request).await.unwrap_or_else(IntoResponse::into_response)
    }
}

fn page(method: &Method, code: &str) -> Result<Response, Problem> {
    let page = problems::page(code.trim_matches('/'))
        .ok_or_else(|| Problem::not_found("there is no such problem"))?;
    if method != Method::GET && method != Method::HEAD {
        return Err(wrong_method(&["GET", "HEAD"]));
    }
    Ok(page)
}

fn wrong_method(allowed: &[&str]) -> Problem {
    let allow = HeaderValue::try_from(allowed.join(", ")).expect("methods are plain words");
    Problem::new(Code::MethodNotAllowed, "the path does not know this method")
        .header(header::ALLOW, allow)
}
