//! The settings of this service.

use std::path::PathBuf;

use chassis::{ProcessConfig, Secret, Settings};

/// Tells people what happened to their orders.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    /// PostgreSQL, as postgres://user:password@host:port/database
    #[arg(long, env = "SHOP_DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret<String>,
    /// Kafka's bootstrap servers, as host:port,…
    #[arg(long, env = "SHOP_KAFKA")]
    pub kafka: String,
    /// File that mails are appended to
    #[arg(long, env = "SHOP_MBOX")]
    pub mbox: PathBuf,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8004";

    fn settings(&self) -> &Settings {
        &self.chassis
    }
}
