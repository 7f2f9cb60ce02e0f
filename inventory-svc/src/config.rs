//! The settings of this service.

use std::time::Duration;

use chassis::{ProcessConfig, Settings, config::duration};
use service_kit::ServiceSettings;

/// Promises stock to orders and takes it back.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceSettings,
    /// How long stock is held for an order before its expiry is announced
    #[arg(long, env = "SHOP_RESERVATION_HOLD", default_value = "20m", value_parser = duration)]
    pub reservation_hold: Duration,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8003";

    fn settings(&self) -> &Settings {
        &self.service.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        self.service.contradictions()
    }
}
