//! The settings of this service.

use std::time::Duration;

use chassis::{ProcessConfig, Settings, config::duration};
use service_kit::{BackingServices, SealSettings};

/// Takes and returns money, once.
#[derive(Clone, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub backing: BackingServices,
    #[command(flatten)]
    pub seal: SealSettings,
    /// The payment service provider: where the simulator listens
    #[arg(long, env = "SHOP_SIMULATOR_URL", default_value = "http://127.0.0.1:8040")]
    pub simulator_url: String,
    /// How long the provider may take to answer; after that its answer counts as lost
    #[arg(long, env = "SHOP_PROVIDER_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub provider_timeout: Duration,
    /// How long a call to the provider belongs to the process that makes it
    #[arg(long, env = "SHOP_CALL_LEASE", default_value = "20s", value_parser = duration)]
    pub call_lease: Duration,
    /// How often calls that nobody makes any more are looked for
    #[arg(long, env = "SHOP_CALL_SWEEP", default_value = "250ms", value_parser = duration)]
    pub call_sweep: Duration,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8002";

    fn settings(&self) -> &Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        // A look-up, a charge and the commit of its answer fit into a lease. Otherwise the sweep
        // would take over calls that are well under way.
        if self.call_lease < self.longest_call() + mailbox::COMMAND_DEADLINE {
            wrong.push(
                "SHOP_CALL_LEASE has to be at least twice SHOP_PROVIDER_TIMEOUT and 10s".to_owned(),
            );
        }
        if self.call_sweep.is_zero() {
            wrong.push("SHOP_CALL_SWEEP has to be more than nothing".to_owned());
        }
        wrong
    }
}

impl Config {
    /// How long one call may take: one request to look up what became of it, and one to make it.
    pub fn longest_call(&self) -> Duration {
        self.provider_timeout * 2
    }
}
