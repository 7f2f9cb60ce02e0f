//! The gateway's settings.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use axum::http::uri::Authority;
use chassis::{IdentitySettings, ProcessConfig, Settings, config::duration};
use clap::Parser;

/// The shop's public edge: one port for all services.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub identity: IdentitySettings,
    /// Where order-svc answers: one address or several, separated by commas
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
    /// a payment waits by itself
    #[arg(long, env = "SHOP_UPSTREAM_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub upstream_timeout: Duration,
    /// How long a connection to a service may take to make
    #[arg(long, env = "SHOP_CONNECT_TIMEOUT", default_value = "1s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// After how many failures in a row an instance is left alone
    #[arg(long, env = "SHOP_CIRCUIT_FAILURES", default_value = "5")]
    pub circuit_failures: NonZeroU32,
    /// How long an instance is left alone before one request tries it again
    #[arg(long, env = "SHOP_CIRCUIT_PAUSE", default_value = "1s", value_parser = duration)]
    pub circuit_pause: Duration,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8000";

    fn settings(&self) -> &Settings {
        &self.chassis
    }
}

/// Where an instance answers: `host:port`, with or without `http://`.
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
