//! The settings of the simulator.

use std::{path::PathBuf, time::Duration};

use chassis::{Chassis, ProcessConfig, Secret};

use crate::{Knobs, StripeAccount};

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
    #[command(flatten)]
    pub stripe: StripeAccountSettings,
}

/// The account that is spoken to in Stripe's protocol, under `/stripe`.
#[derive(Debug, clap::Args)]
pub struct StripeAccountSettings {
    /// The account's secret key; without it any `sk_test_…` is taken
    #[arg(long = "stripe-key", env = "SHOP_STRIPE_KEY", hide_env_values = true)]
    pub key: Option<Secret<String>>,
    /// Where events of Stripe's go
    #[arg(long = "stripe-webhook-url", env = "SHOP_STRIPE_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What they are signed with
    #[arg(
        long = "stripe-webhook-secret",
        env = "SHOP_STRIPE_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    pub webhook_secret: Option<Secret<String>>,
}

impl StripeAccountSettings {
    /// The account that is set; its events are sent by a task of the process.
    pub(crate) fn account(&self, chassis: &mut Chassis) -> anyhow::Result<StripeAccount> {
        let key = self.key.as_ref().map(|key| key.expose().as_str());
        let account = StripeAccount::new(key);
        let Some((url, secret)) = self.webhook_url.as_ref().zip(self.webhook_secret.as_ref())
        else {
            return Ok(account);
        };
        let (account, sender) = account.with_webhook(url, secret.expose())?;
        chassis.tasks.spawn("webhooks", |stop| sender.run(stop));
        Ok(account)
    }
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8040";

    fn settings(&self) -> &chassis::Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let stripe = &self.stripe;
        if stripe.webhook_url.is_some() == stripe.webhook_secret.is_some() {
            return Vec::new();
        }
        let pair = "SHOP_STRIPE_WEBHOOK_URL and SHOP_STRIPE_WEBHOOK_SECRET are set together";
        vec![pair.to_owned()]
    }
}
