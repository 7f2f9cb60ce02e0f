//! The settings of this service.

use std::time::Duration;

use chassis::{IdentitySettings, ProcessConfig, Settings, config::duration};
use service_kit::BackingServices;

/// Promises stock to orders and takes it back.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub identity: IdentitySettings,
    #[command(flatten)]
    pub backing: BackingServices,
    /// How long stock is held for an order before its expiry is announced
    #[arg(long, env = "SHOP_RESERVATION_HOLD", default_value = "20m", value_parser = duration)]
    pub reservation_hold: Duration,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8003";

    fn settings(&self) -> &Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        self.backing.contradictions()
    }
}
