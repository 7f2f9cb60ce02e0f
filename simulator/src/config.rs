//! The settings of the simulator.

use std::{path::PathBuf, time::Duration};

use chassis::ProcessConfig;

use crate::Knobs;

/// A payment service provider to try things on.
#[derive(Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub chassis: chassis::Settings,
    /// File of the ledger: a line for each charge and refund, only ever added to
    #[arg(long, env = "SHOP_LEDGER", default_value = ".shop/ledger.jsonl")]
    pub ledger: PathBuf,
    /// How long a charge that is captured slowly takes
    #[arg(long, env = "SHOP_SLOW", default_value = "3s", value_parser = chassis::config::duration)]
    pub slow: Duration,
    #[command(flatten)]
    pub knobs: Knobs,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8040";

    fn settings(&self) -> &chassis::Settings {
        &self.chassis
    }
}
