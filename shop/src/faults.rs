//! `shop faults` (hidden): a proxy between each two of a local stack that talk. It makes their
//! connection slow, uneven, narrow, silent or cut when it is told, as Toxiproxy does in containers:
//! the names of the proxies are the same, and it takes as much of Toxiproxy's API as a test of
//! faults needs (<https://github.com/Shopify/toxiproxy#http-api>).

use std::{collections::BTreeMap, net::Ipv4Addr, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use backends::kafka::ProxiedListener;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use crate::Ports;

mod proxy;

use proxy::{Fault, Mode};

/// `SHOP_FAULTS=on` leads every connection of a stack through a fault proxy.
pub const SETTING: &str = "SHOP_FAULTS";

/// Who is reached through proxies besides services.
pub const KAFKA: &str = "kafka";
pub const POSTGRES: &str = "postgres";

/// Who talks to whom. Those to Kafka are the first.
const CONNECTIONS: [(&str, &str); 16] = [
    ("order-svc", KAFKA),
    ("payment-svc", KAFKA),
    ("inventory-svc", KAFKA),
    ("notify-svc", KAFKA),
    ("outbox-relay", KAFKA),
    ("gateway", KAFKA),
    ("order-svc", POSTGRES),
    ("payment-svc", POSTGRES),
    ("inventory-svc", POSTGRES),
    ("notify-svc", POSTGRES),
    ("outbox-relay", POSTGRES),
    ("gateway", "order-svc"),
    ("gateway", "payment-svc"),
    ("gateway", "inventory-svc"),
    ("gateway", "notify-svc"),
    ("payment-svc", "simulator"),
];

/// Whether a stack that is started now has fault proxies.
pub fn are_wanted() -> bool {
    std::env::var_os(SETTING).is_some_and(|switch| switch == "on")
}

/// The port at which a process reaches another one through its proxy.
pub fn port(ports: Ports, from: &str, to: &str) -> Option<u16> {
    (0..).zip(CONNECTIONS).find(|(_, it)| *it == (from, to)).map(|(n, _)| ports.fault_proxy(n))
}

/// Kafka's listeners behind proxies: it tells clients the address of the one that they came by.
pub fn kafka(ports: Ports) -> Vec<ProxiedListener> {
    let to_kafka = (0..).zip(CONNECTIONS).take_while(|(_, (_, to))| *to == KAFKA);
    let listener =
        |(n, _)| ProxiedListener { port: ports.behind_fault_proxy(n), proxy: ports.fault_proxy(n) };
    to_kafka.map(listener).collect()
}

/// The ports that a stack with fault proxies has besides those of every stack.
pub fn ports(ports: Ports) -> Vec<u16> {
    let proxies = (0..).zip(CONNECTIONS).map(|(n, _)| ports.fault_proxy(n));
    proxies.chain(kafka(ports).into_iter().map(|it| it.port)).collect()
}

/// The arguments of `shop faults`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's port; the others are counted from it.
    #[arg(long)]
    pub base_port: u16,
}

/// Each proxy by its name, told what its connections are like.
type Modes = Arc<BTreeMap<String, watch::Sender<Mode>>>;

/// Runs the proxies and their API until asked to end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let ports = Ports::from(args.base_port).context("--base-port is too high")?;
    let (mut modes, mut proxies) = (BTreeMap::new(), JoinSet::new());
    for (n, (from, to)) in (0..).zip(CONNECTIONS) {
        let (mode, told) = watch::channel(Mode::Sound);
        let upstream = match to {
            KAFKA => Some(ports.behind_fault_proxy(n)),
            _ => ports.of(to),
        };
        let upstream = upstream.with_context(|| format!("{to} has no port"))?;
        proxies.spawn(proxy::run(ports.fault_proxy(n), upstream, told));
        modes.insert(format!("{from}-{to}"), mode);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.faults())).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, api(Arc::new(modes))) => served?,
        Some(ended) = proxies.join_next() => ended??,
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn api(modes: Modes) -> Router {
    Router::new()
        .route("/proxies", get(list))
        .route("/proxies/{name}", post(switch))
        .route("/proxies/{name}/toxics", post(spoil))
        .route("/reset", post(reset))
        .with_state(modes)
}

async fn list(State(modes): State<Modes>) -> Json<Value> {
    let proxy = |(name, mode): (&String, &watch::Sender<Mode>)| {
        (name.clone(), json!({"name": name, "enabled": *mode.borrow() != Mode::Cut}))
    };
    Json(modes.iter().map(proxy).collect())
}

#[derive(Deserialize)]
struct Switch {
    enabled: bool,
}

async fn switch(
    State(modes): State<Modes>,
    Path(name): Path<String>,
    Json(switch): Json<Switch>,
) -> StatusCode {
    set(&modes, &name, if switch.enabled { Mode::Sound } else { Mode::Cut })
}

async fn spoil(
    State(modes): State<Modes>,
    Path(name): Path<String>,
    Json(fault): Json<Fault>,
) -> StatusCode {
    set(&modes, &name, Mode::Bad(fault))
}

async fn reset(State(modes): State<Modes>) -> StatusCode {
    for mode in modes.values() {
        mode.send_replace(Mode::Sound);
    }
    StatusCode::NO_CONTENT
}

fn set(modes: &Modes, name: &str, wanted: Mode) -> StatusCode {
    let Some(mode) = modes.get(name) else { return StatusCode::NOT_FOUND };
    mode.send_replace(wanted);
    StatusCode::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_called_as_in_containers() {
        let file = include_str!("../../deploy/toxiproxy.json");
        let file: Vec<Value> = serde_json::from_str(file).unwrap();
        let mut there: Vec<_> =
            file.iter().map(|proxy| proxy["name"].as_str().unwrap().to_owned()).collect();
        let mut here: Vec<_> =
            CONNECTIONS.iter().map(|(from, to)| format!("{from}-{to}")).collect();
        there.sort();
        here.sort();
        assert_eq!(here, there);
    }

    #[test]
    fn no_two_have_a_port() {
        let stack = Ports::from(8000).unwrap();
        let mut all: Vec<_> = stack.all().into_iter().chain(ports(stack)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(ports(stack).iter().all(|port| (8000..8100).contains(port)));
        assert_eq!(port(stack, "gateway", "order-svc"), Some(8081));
        assert_eq!(port(stack, "gateway", POSTGRES), None);
    }
}
