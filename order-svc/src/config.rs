//! The settings of this service.

use std::time::Duration;

use chassis::{
    ProcessConfig, Settings,
    config::{duration, period},
};
use service_kit::{SealSettings, ServiceSettings};

use crate::pressure::Limits;

/// Takes orders and decides how they end.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceSettings,
    #[command(flatten)]
    pub seal: SealSettings,
    /// How long an order may wait for its payment once its stock is reserved
    #[arg(long, env = "SHOP_PAYMENT_DEADLINE", default_value = "15m", value_parser = duration)]
    pub payment_deadline: Duration,
    /// How often orders whose time is over are looked for; more than 0
    #[arg(long, env = "SHOP_DEADLINE_SWEEP", default_value = "1s", value_parser = period)]
    pub deadline_sweep: Duration,
    /// How old the oldest order without any answer may get before new ones are refused, unless a
    /// later one was answered. A payment's answer may take half its deadline, and no longer than
    /// this
    #[arg(long, env = "SHOP_ANSWER_DEADLINE", default_value = "15m", value_parser = duration)]
    pub answer_deadline: Duration,
}

/// How often it is measured what waits: the deadlines are minutes, so every few seconds will do.
const PRESSURE_EVERY: Duration = Duration::from_secs(5);
/// How often an order is let through while new ones are refused: too rarely to add to what waits.
const TRY_EVERY: Duration = Duration::from_secs(30);

impl Config {
    /// When new orders are refused. Half the payment deadline at most for payments: well before the
    /// orders that wait would be cancelled for want of payment.
    pub fn limits(&self) -> Limits {
        let payment = self.answer_deadline.min(self.payment_deadline / 2);
        let (stock, every, try_every) = (self.answer_deadline, PRESSURE_EVERY, TRY_EVERY);
        Limits { stock, payment, every, try_every }
    }
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8001";

    fn settings(&self) -> &Settings {
        &self.service.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        self.service.contradictions()
    }
}
