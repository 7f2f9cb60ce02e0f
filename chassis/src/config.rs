//! Settings: one `clap` struct per process, read once, all bad values reported together.

mod reading;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use clap::{Parser, ValueEnum};

pub(crate) use reading::load;
pub use reading::{Bad, command, read, read_command};

// The settings that every process has. No doc comment: clap would show it as the process's own.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Address to listen on
    #[arg(long, env = "SHOP_BIND", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Port of the public listener
    #[arg(long, env = "SHOP_PORT", default_value = "0")]
    pub port: u16,
    /// Port of the private listener (/livez, /readyz, /metrics), never with TLS [default: port +
    /// 1000]
    #[arg(long, env = "SHOP_ADMIN_PORT")]
    pub admin_port: Option<u16>,
    /// Name of this instance among those of its service; no two may have the same
    /// [default: host:port]
    #[arg(long, env = "SHOP_INSTANCE", value_parser = instance)]
    pub instance: Option<String>,
    /// What to log: error, warn, info, debug, trace, also by module (info,sqlx=warn)
    #[arg(long, env = "SHOP_LOG", default_value = "info", value_parser = log_filter)]
    pub log: String,
    /// How to write the log
    #[arg(long, env = "SHOP_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Where to send traces (OTLP over gRPC, such as <http://host:4317>); none are made without it
    #[arg(long, env = "SHOP_OTLP_ENDPOINT", value_parser = otlp_endpoint)]
    pub otlp_endpoint: Option<String>,
    /// Share of the traces beginning here that are recorded, 0 to 1; a trace that began elsewhere
    /// is recorded if it is there
    #[arg(long, env = "SHOP_TRACE_SAMPLE_RATIO", default_value = "0.1", value_parser = ratio)]
    pub trace_sample_ratio: f64,
    /// How long stopping may take before it is forced
    #[arg(long, env = "SHOP_DRAIN", default_value = "10s", value_parser = duration)]
    pub drain: Duration,
    /// How long clients are told to go elsewhere, and served, before stopping begins on SIGTERM;
    /// longer than they keep idle connections, and than a load balancer looks away
    #[arg(long, env = "SHOP_LAME_DUCK", default_value = "4s", value_parser = duration)]
    pub lame_duck: Duration,
    /// Worker threads
    #[arg(long, env = "SHOP_THREADS", default_value = "2", value_parser = threads)]
    pub threads: usize,
}

impl Settings {
    /// Where requests are served.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }

    /// Where metrics are served.
    pub fn admin_address(&self) -> SocketAddr {
        let port = self.admin_port.unwrap_or(match self.port {
            0 => 0,
            port => port.saturating_add(1000),
        });
        SocketAddr::new(self.bind, port)
    }

    /// The instance's name: as set, or made of host and port; empty if neither a name nor a port is
    /// set.
    pub fn instance(&self) -> String {
        match (&self.instance, self.port) {
            (Some(name), _) => name.clone(),
            (None, 0) => String::new(),
            (None, port) => {
                // On a system without this file, whoever runs more than one host has to name the
                // instances.
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
                let host = host.unwrap_or_else(|_| "localhost".to_owned());
                format!("{}:{port}", host.trim().replace(|c: char| !is_plain(c), "-"))
            }
        }
    }
}

/// The settings of a process, with `#[command(flatten)] chassis: chassis::Settings` among them.
pub trait ProcessConfig: Parser {
    /// The public port unless another is set, such as `"8001"`.
    const PORT: &'static str;

    /// The settings that every process has.
    fn settings(&self) -> &Settings;

    /// Contradictions between settings that are valid one by one.
    fn contradictions(&self) -> Vec<String> {
        Vec::new()
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// A setting that is never printed. Its `#[arg]` needs `hide_env_values = true`, so that a bad
/// value is not quoted either.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Keeps `value` from being printed.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: FromStr> FromStr for Secret<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.parse().map(Self)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// Why a secret is not usable, in words that do not quote it: the error of a parser of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretFault(pub String);

/// Parses a number of at least 1.
pub fn at_least_1(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= 1);
    number.ok_or_else(|| "write a number of at least 1".to_owned())
}

/// Parses a duration with its unit: `250ms`, `2s`, `15m`, `1h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and its unit: 250ms, 2s, 15m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}

/// Parses a duration that is more than nothing: how often something is done.
pub fn period(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    if period.is_zero() { Err("has to be more than 0".to_owned()) } else { Ok(period) }
}

/// The text of a file without trailing white space: for settings whose value is in a file.
pub fn secret_file(path: &str) -> Result<Secret<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Secret(text.trim_end().to_owned()))
}

fn instance(text: &str) -> Result<String, String> {
    let is_name = (1..=200).contains(&text.len()) && text.chars().all(is_plain);
    let wrong = || "write 1 to 200 of A-Z a-z 0-9 . _ : -".to_owned();
    is_name.then(|| text.to_owned()).ok_or_else(wrong)
}

/// Whether a character may be in an instance's name.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._:-".contains(c)
}

fn threads(text: &str) -> Result<usize, String> {
    let wrong = "write a number from 1 to 64";
    text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or_else(|| wrong.to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::builder().parse(text).map_err(|error| error.to_string())?;
    Ok(filter.to_string())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "write a number from 0 to 1".to_owned())
}

fn otlp_endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").filter(|host| !host.is_empty());
    host.map(|_| text.to_owned()).ok_or_else(|| "write http://host:4317".to_owned())
}
