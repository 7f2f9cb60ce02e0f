//! The settings of the sink.

use std::path::PathBuf;

use chassis::{ProcessConfig, Secret};

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
    /// What webhooks have to be signed with: `whsec_` and base64; without it, any are taken [also
    /// as a file: `SHOP_SECRET_FILE`]
    #[arg(long, env = "SHOP_SECRET", hide_env_values = true)]
    pub secret: Option<Secret<String>>,
}

impl ProcessConfig for Config {
    const PORT: &'static str = "8041";

    fn settings(&self) -> &chassis::Settings {
        &self.chassis
    }
}
