//! The settings of the sink.

use std::path::PathBuf;

use anyhow::Context;
use chassis::{ProcessConfig, Secret};

use crate::tls::{MailTls, TlsStart};

/// Takes mails, SMS and push messages, shows them, and delivers nothing.
#[derive(Debug, clap::Parser)]
pub struct Config {
    // The port of the public listener is that of SMTP.
    #[command(flatten)]
    pub chassis: chassis::Settings,
    /// Port on which webhooks are taken and messages are shown
    #[arg(long, env = "SHOP_HTTP_PORT", default_value = "8042")]
    pub http_port: u16,
    /// File of all that was taken: a line for each message, only ever added to
    #[arg(long, env = "SHOP_MESSAGES", default_value = ".shop/messages.jsonl")]
    pub messages: PathBuf,
    /// What webhooks have to be signed with: `whsec_` and base64; without it, any are taken
    #[arg(long, env = "SHOP_SECRET", hide_env_values = true)]
    pub secret: Option<Secret<String>>,
    /// Certificate of the mail server with its chain, as a PEM file; with it, mail is taken over
    /// TLS alone
    #[arg(long, env = "SHOP_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key, as a PEM file
    #[arg(long, env = "SHOP_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// When the encryption begins
    #[arg(long, env = "SHOP_TLS_START", default_value = "starttls")]
    pub tls_start: TlsStart,
    /// The user from whom mail is taken; without one, from everybody
    #[arg(long, env = "SHOP_MAIL_USER")]
    pub mail_user: Option<String>,
    /// The user's password
    #[arg(long, env = "SHOP_MAIL_PASSWORD", hide_env_values = true)]
    pub mail_password: Option<Secret<String>>,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8041";

    fn settings(&self) -> &chassis::Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let pairs = [
            (self.tls_certificate.is_some(), self.tls_key.is_some(), "TLS_CERTIFICATE", "TLS_KEY"),
            (self.mail_user.is_some(), self.mail_password.is_some(), "MAIL_USER", "MAIL_PASSWORD"),
        ];
        let halves = pairs.into_iter().filter(|(one, other, ..)| one != other);
        halves.map(|(_, _, a, b)| format!("SHOP_{a} and SHOP_{b} are set together")).collect()
    }
}

impl Config {
    pub(crate) fn mail_tls(&self) -> anyhow::Result<Option<MailTls>> {
        let Some((certificate, key)) = self.tls_certificate.as_ref().zip(self.tls_key.as_ref())
        else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("could not read {}", path.display()))
        };
        MailTls::new(&read(certificate)?, &read(key)?, self.tls_start).map(Some)
    }

    pub(crate) fn login(&self) -> Option<(String, Secret<String>)> {
        self.mail_user.clone().zip(self.mail_password.clone())
    }
}
