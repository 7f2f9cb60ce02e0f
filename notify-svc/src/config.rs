//! The settings of this service.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use chassis::{
    ProcessConfig, Secret, Settings,
    config::{SecretFault, duration},
};
use lettre::message::Mailbox;
use reqwest::Url;
use service_kit::ServiceSettings;

use crate::{
    carriers::{
        guard::AddressPolicy,
        smtp::{SmtpServer, SmtpTls},
        webhook::WebhookEndpoint,
    },
    deliveries::ATTEMPT_MAX,
    domain::Channel,
};

/// Tells people what happened to their orders.
#[derive(Clone, Debug, clap::Parser)]
#[command(version, about)]
pub struct Config {
    #[command(flatten)]
    pub service: ServiceSettings,
    #[command(flatten)]
    pub mail: MailSettings,
    #[command(flatten)]
    pub providers: ProviderSettings,
    /// How long a notification is tried before it counts as undelivered
    #[arg(long, env = "SHOP_GIVE_UP_AFTER", default_value = "24h", value_parser = duration)]
    pub give_up_after: Duration,
    /// Notifications under way at once, on each channel, and so connections to the mail server; and
    /// events under way to each webhook; 1 to 64
    #[arg(long, env = "SHOP_ATTEMPTS_AT_ONCE", default_value = "4",
        value_parser = clap::value_parser!(u32).range(1..=64))]
    pub attempts_at_once: u32,
}

/// The mail server.
#[derive(Clone, Debug, clap::Args)]
pub struct MailSettings {
    /// Host of the mail server
    #[arg(long, env = "SHOP_SMTP_HOST")]
    pub smtp_host: String,
    /// Port of the mail server
    #[arg(long, env = "SHOP_SMTP_PORT", default_value = "587")]
    pub smtp_port: u16,
    /// How connections to the mail server are encrypted
    #[arg(long, env = "SHOP_SMTP_TLS", default_value = "starttls")]
    pub smtp_tls: SmtpTls,
    /// Certificate of an authority besides those that the machine trusts, as a PEM file
    #[arg(long, env = "SHOP_SMTP_AUTHORITY")]
    pub smtp_authority: Option<PathBuf>,
    /// User at the mail server, if it asks for one
    #[arg(long, env = "SHOP_SMTP_USER")]
    pub smtp_user: Option<String>,
    /// The user's password
    #[arg(long, env = "SHOP_SMTP_PASSWORD", hide_env_values = true)]
    pub smtp_password: Option<Secret<String>>,
    /// Who sends, as `Name <name@host>`
    #[arg(long, env = "SHOP_MAIL_FROM", default_value = "Shop <shop@shop.invalid>")]
    pub mail_from: Mailbox,
}

/// The providers of SMS and push; a channel without one refuses its notifications.
#[derive(Clone, Debug, clap::Args)]
pub struct ProviderSettings {
    /// Where the provider of SMS takes webhooks; a secret, as there may be a token in it
    #[arg(long, env = "SHOP_SMS_URL", hide_env_values = true, value_parser = url)]
    pub sms_url: Option<Secret<Url>>,
    /// What webhooks to it are signed with: `whsec_` and base64
    #[arg(long, env = "SHOP_SMS_SECRET", hide_env_values = true)]
    pub sms_secret: Option<Secret<String>>,
    /// Where the provider of push messages takes webhooks; a secret, too
    #[arg(long, env = "SHOP_PUSH_URL", hide_env_values = true, value_parser = url)]
    pub push_url: Option<Secret<Url>>,
    /// What webhooks to it are signed with
    #[arg(long, env = "SHOP_PUSH_SECRET", hide_env_values = true)]
    pub push_secret: Option<Secret<String>>,
    /// Let webhooks lead to addresses that are not public, for a stack on one machine
    #[arg(long, env = "SHOP_PRIVATE_WEBHOOKS")]
    pub private_webhooks: bool,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8004";

    fn settings(&self) -> &Settings {
        &self.service.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let (mail, providers) = (&self.mail, &self.providers);
        let pairs = [
            (mail.smtp_user.is_some(), mail.smtp_password.is_some(), "SMTP_USER", "SMTP_PASSWORD"),
            (providers.sms_url.is_some(), providers.sms_secret.is_some(), "SMS_URL", "SMS_SECRET"),
            (
                providers.push_url.is_some(),
                providers.push_secret.is_some(),
                "PUSH_URL",
                "PUSH_SECRET",
            ),
        ];
        let halves = pairs.into_iter().filter(|(one, other, ..)| one != other);
        let halves = halves.map(|(_, _, a, b)| format!("SHOP_{a} and SHOP_{b} are set together"));
        self.service.contradictions().into_iter().chain(halves).collect()
    }
}

impl Config {
    /// The mail server that is set.
    pub fn smtp(&self) -> anyhow::Result<SmtpServer> {
        let MailSettings { smtp_host, smtp_port, smtp_tls, smtp_authority, .. } = &self.mail;
        let MailSettings { smtp_user, smtp_password, mail_from, .. } = &self.mail;
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("could not read {}", path.display()))
        };
        let password = smtp_password.as_ref().map(|it| it.expose().clone());
        Ok(SmtpServer {
            host: smtp_host.clone(),
            port: *smtp_port,
            tls: *smtp_tls,
            login: smtp_user.clone().zip(password),
            authority: smtp_authority.as_ref().map(read).transpose()?,
            sender: mail_from.clone(),
            connections: self.attempts_at_once,
            timeout: ATTEMPT_MAX,
        })
    }

    /// Where webhooks may lead, those of providers and those of events.
    pub fn addresses(&self) -> AddressPolicy {
        if self.providers.private_webhooks { AddressPolicy::Any } else { AddressPolicy::PublicOnly }
    }

    /// The provider that is set for a channel.
    pub fn endpoint(&self, channel: Channel) -> Option<WebhookEndpoint> {
        let set = &self.providers;
        let (url, secret) = match channel {
            Channel::Email => (None, None),
            Channel::Sms => (set.sms_url.as_ref(), set.sms_secret.as_ref()),
            Channel::Push => (set.push_url.as_ref(), set.push_secret.as_ref()),
        };
        let addresses = self.addresses();
        let secret = secret.map(|secret| secret.expose().clone())?;
        let url = url?.expose().clone();
        Some(WebhookEndpoint { channel, url, secret, addresses, timeout: ATTEMPT_MAX })
    }
}

fn url(text: &str) -> Result<Secret<Url>, SecretFault> {
    let url = Url::parse(text).map_err(|error| SecretFault(error.to_string()))?;
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web
        .then(|| Secret::new(url))
        .ok_or_else(|| SecretFault("write http://… or https://…".into()))
}
