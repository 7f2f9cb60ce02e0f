//! The gateway's settings.

use std::{fmt, net::IpAddr, num::NonZeroU32, str::FromStr, time::Duration};

use axum::http::{HeaderValue, uri::Authority};
use chassis::{
    IdentitySettings, KafkaSecurity, ProcessConfig, Settings,
    config::duration,
    http::{ServerLimits, TlsSettings},
};
use clap::Parser;
use ipnet::IpNet;

use crate::{console_settings::ConsoleSettings, forwarded::ProxyHeader};

/// The shop's public edge: one port for all services.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub identity: IdentitySettings,
    #[command(flatten)]
    pub tls: TlsSettings,
    #[command(flatten)]
    pub limits: ServerLimits,
    #[command(flatten)]
    pub console: ConsoleSettings,
    /// Where order-svc answers: host:port, or several with commas between; a name with several
    /// addresses is several instances
    #[arg(
        long,
        env = "SHOP_ORDER_URL",
        default_value = "http://127.0.0.1:8001",
        value_delimiter = ','
    )]
    pub order_url: Vec<Address>,
    /// Where payment-svc answers
    #[arg(
        long,
        env = "SHOP_PAYMENT_URL",
        default_value = "http://127.0.0.1:8002",
        value_delimiter = ','
    )]
    pub payment_url: Vec<Address>,
    /// Where inventory-svc answers
    #[arg(
        long,
        env = "SHOP_INVENTORY_URL",
        default_value = "http://127.0.0.1:8003",
        value_delimiter = ','
    )]
    pub inventory_url: Vec<Address>,
    /// Where notify-svc answers
    #[arg(
        long,
        env = "SHOP_NOTIFY_URL",
        default_value = "http://127.0.0.1:8004",
        value_delimiter = ','
    )]
    pub notify_url: Vec<Address>,
    /// How long a service may take to answer, beside what the caller asks to wait (Prefer: wait) or
    /// a payment waits by itself; more than the 10 s that a service gives itself
    #[arg(long, env = "SHOP_UPSTREAM_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub upstream_timeout: Duration,
    /// How long a connection to a service may take to make
    #[arg(long, env = "SHOP_CONNECT_TIMEOUT", default_value = "1s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// How often names among the services' addresses are looked up; more than 0
    #[arg(long, env = "SHOP_RESOLVE_EVERY", default_value = "5s", value_parser = duration)]
    pub resolve_every: Duration,
    /// How many of an instance's last ten outcomes have to be known before its circuit opens, which
    /// it does when half of them failed
    #[arg(long, env = "SHOP_CIRCUIT_CALLS", default_value = "5",
        value_parser = clap::value_parser!(u32).range(1..=10))]
    pub circuit_calls: u32,
    /// How long a circuit stays open before one request tries the instance again
    #[arg(long, env = "SHOP_CIRCUIT_PAUSE", default_value = "1s", value_parser = duration)]
    pub circuit_pause: Duration,
    /// Networks of proxies that are believed about where a request comes from: 10.0.0.0/8,…
    #[arg(long, env = "SHOP_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say so; the other one is not believed
    #[arg(long, env = "SHOP_PROXY_HEADER", default_value = "forwarded")]
    pub proxy_header: ProxyHeader,
    /// Requests a second that each address may send in the long run (of IPv6, each /64); 0 is no
    /// limit
    #[arg(long, env = "SHOP_RATE_PER_ADDRESS", default_value = "0")]
    pub rate_per_address: u32,
    /// Requests that an address may send at once
    #[arg(long, env = "SHOP_BURST_PER_ADDRESS", default_value = "100")]
    pub burst_per_address: NonZeroU32,
    /// Requests a second that each caller may send in the long run; 0 is no limit
    #[arg(long, env = "SHOP_RATE_PER_CALLER", default_value = "0")]
    pub rate_per_caller: u32,
    /// Requests that a caller may send at once
    #[arg(long, env = "SHOP_BURST_PER_CALLER", default_value = "100")]
    pub burst_per_caller: NonZeroU32,
    /// Origins of web pages whose scripts may call, such as <https://shop.example>, or * for all
    #[arg(long, env = "SHOP_CORS_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<HeaderValue>,
    /// Kafka's bootstrap servers, as host:port,…: its news wake the streams of orders, which
    /// otherwise look every 5 s
    #[arg(long, env = "SHOP_KAFKA")]
    pub kafka: Option<String>,
    #[command(flatten)]
    pub kafka_security: KafkaSecurity,
    /// Streams of orders that may be open at once
    #[arg(long, env = "SHOP_LIVE_STREAMS_MAX", default_value = "4096",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub live_streams_max: u32,
    /// Streams of orders that one caller may have open at once
    #[arg(long, env = "SHOP_LIVE_STREAMS_PER_CALLER", default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub live_streams_per_caller: u32,
    /// How many of a hundred requests are logged, a line each
    #[arg(long, env = "SHOP_ACCESS_LOG_PERCENT", default_value = "0",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub access_log_percent: u8,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8000";

    fn settings(&self) -> &Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let mut all = self.kafka_security.contradictions();
        all.extend(self.tls.contradictions());
        all.extend(self.console.contradictions());
        if self.resolve_every.is_zero() {
            all.push("SHOP_RESOLVE_EVERY (--resolve-every): has to be more than 0".to_owned());
        }
        all
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.trim();
    let one = || network.parse::<IpAddr>().map(IpNet::from);
    let wrong = "write a network such as 10.0.0.0/8, or an address";
    network.parse().or_else(|_| one()).map_err(|_| wrong.to_owned())
}

/// An origin: scheme, host and perhaps a port, or `*`.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || "write https://host, perhaps with a port, or *".to_owned();
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| host.parse::<Authority>().is_ok());
    if text != "*" && !is_origin {
        return Err(wrong());
    }
    HeaderValue::try_from(text).map_err(|_| wrong())
}

/// Where instances answer: `host:port`, with or without `http://`.
#[derive(Clone, Debug)]
pub struct Address(pub Authority);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write http://host:port".to_owned();
        let text = text.trim();
        let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        if authority.host().is_empty() || text.contains('@') || authority.port_u16().is_none() {
            return Err(wrong());
        }
        Ok(Self(authority))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
