//! The settings of this service.

use std::time::Duration;

use chassis::{
    ProcessConfig, Secret, Settings,
    config::{duration, period},
};
use service_kit::{SealSettings, ServiceSettings};

use crate::provider::{Providers, Simulator, Stripe, stripe::webhook::WebhookSecrets};

/// Takes and returns money, once.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceSettings,
    #[command(flatten)]
    pub seal: SealSettings,
    #[command(flatten)]
    pub stripe: StripeSettings,
    /// The payment service provider of test tokens: where the simulator listens
    #[arg(long, env = "SHOP_SIMULATOR_URL", default_value = "http://127.0.0.1:8040")]
    pub simulator_url: String,
    /// How long the provider may take to answer; after that its answer counts as lost
    #[arg(long, env = "SHOP_PROVIDER_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub provider_timeout: Duration,
    /// How long a call to the provider belongs to the process that makes it; at least twice the
    /// provider's time-out and 10 s
    #[arg(long, env = "SHOP_CALL_LEASE", default_value = "20s", value_parser = duration)]
    pub call_lease: Duration,
    /// How often calls that nobody makes any more are looked for; more than 0
    #[arg(long, env = "SHOP_CALL_SWEEP", default_value = "250ms", value_parser = period)]
    pub call_sweep: Duration,
}

/// Stripe's account, if cards are charged through it.
#[derive(Clone, Debug, clap::Args)]
pub struct StripeSettings {
    /// Secret key of the account at Stripe: with it, cards with tokens of Stripe's are charged there
    #[arg(long, env = "SHOP_STRIPE_KEY", hide_env_values = true, value_parser = stripe_key)]
    pub stripe_key: Option<Secret<String>>,
    /// Where Stripe's API is; a live key goes nowhere without https
    #[arg(long, env = "SHOP_STRIPE_URL", default_value = "https://api.stripe.com",
        value_parser = stripe_url)]
    pub stripe_url: String,
    /// What Stripe signs its events with, `whsec_…`; several, with white space between them, while
    /// one replaces another; without one there is no webhook
    #[arg(long, env = "SHOP_STRIPE_WEBHOOK_SECRET", hide_env_values = true)]
    pub stripe_webhook_secret: Option<Secret<WebhookSecrets>>,
}

/// A secret key, or one that is restricted to what is needed here.
fn stripe_key(text: &str) -> Result<Secret<String>, String> {
    let kinds = ["sk_live_", "sk_test_", "rk_live_", "rk_test_"];
    let rest = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    let plain = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric());
    let wrong = || "write a secret key: sk_live_…, sk_test_…, rk_live_… or rk_test_…".to_owned();
    rest.filter(|rest| plain(rest)).map(|_| Secret::new(text.to_owned())).ok_or_else(wrong)
}

fn stripe_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.query().is_none();
    if is_web { Ok(text.to_owned()) } else { Err("write https://…".to_owned()) }
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8002";

    fn settings(&self) -> &Settings {
        &self.service.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let mut wrong = self.service.contradictions();
        // A look-up, a charge and the commit of its answer fit into a lease. Otherwise the sweep
        // would take over calls that are well under way.
        if self.call_lease < self.longest_call() + mailbox::COMMAND_DEADLINE {
            wrong.push(
                "SHOP_CALL_LEASE has to be at least twice SHOP_PROVIDER_TIMEOUT and 10s".to_owned(),
            );
        }
        let key = self.stripe.stripe_key.as_ref().map(Secret::expose);
        let is_live = key.is_some_and(|key| key.contains("_live_"));
        if is_live && !self.stripe.stripe_url.starts_with("https:") {
            wrong.push("a live SHOP_STRIPE_KEY goes to a SHOP_STRIPE_URL with https".to_owned());
        }
        wrong
    }
}

impl Config {
    /// The providers that are set.
    pub fn providers(&self) -> anyhow::Result<Providers> {
        let StripeSettings { stripe_key, stripe_url, .. } = &self.stripe;
        let timeout = self.provider_timeout;
        let stripe = stripe_key.as_ref().map(|key| Stripe::new(stripe_url, key.expose(), timeout));
        Ok(Providers {
            simulator: Simulator::new(&self.simulator_url, timeout)?,
            stripe: stripe.transpose()?,
        })
    }

    /// How long one call may take: one request to look up what became of it, and one to make it.
    pub fn longest_call(&self) -> Duration {
        self.provider_timeout * 2
    }
}
