//! A mail server, and a provider of SMS and push, to try things on: it takes what it is given,
//! shows it, and delivers nothing.
//!
//! ```text
//! Owns   a file of all that it took: the judge of what people were told.
//! Hears  SMTP: mails. HTTP: signed webhooks for SMS and push.
//! Says   nothing by itself.
//! Keeps  What it accepted, it has in its file.
//! ```

use std::sync::Arc;

use anyhow::Context;
use chassis::{Chassis, http::Edge};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

mod config;
mod http;
mod manner;
mod messages;
mod smtp;
mod tls;

pub use config::Config;
pub use http::{SinkState, routes};
pub use manner::Manner;
pub use messages::{MessageLog, MessageRecord};
pub use smtp::{MailHost, receive};
pub use tls::{MailTls, TlsStart};

/// Opens the file, takes mails and webhooks, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let log = MessageLog::open(&config.messages)
        .with_context(|| format!("could not open {}", config.messages.display()))?;
    let log = Arc::new(log);
    let listen = async |port| {
        let address = (config.chassis.bind, port);
        TcpListener::bind(address).await.with_context(|| format!("could not listen on {port}"))
    };
    let (mails, requests) = (listen(config.chassis.port).await?, listen(config.http_port).await?);
    let secret = config.secret.as_ref().map(|secret| Webhook::new(secret.expose())).transpose();
    let signature = secret.context("the secret is not whsec_…")?.map(Arc::new);
    let state = SinkState { log: Arc::clone(&log), signature };
    let edge = Edge::new(chassis.health.clone());
    let host = MailHost { log, tls: config.mail_tls()?, login: config.login() };
    chassis.tasks.spawn("mails", |stop| receive(mails, host, stop));
    chassis.tasks.spawn("http", |stop| chassis::http::serve(requests, edge, routes(state), stop));
    chassis.wait().await
}
