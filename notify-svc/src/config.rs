//! The settings of this service.

use std::path::PathBuf;

use chassis::{ProcessConfig, Settings};
use service_kit::BackingServices;

/// Tells people what happened to their orders.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub backing: BackingServices,
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
