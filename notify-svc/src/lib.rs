//! The notification service.
//!
//! ```text
//! Owns   what customers are told about their orders, and where they can be reached.
//! Hears  OrderConfirmed OrderAwaitingPayment OrderCancelled PaymentRefunded
//! Says   NotificationSent NotificationFailed
//! Keeps  A customer is told each thing once; an order never waits for it.
//! ```

pub mod config;
pub mod deliveries;
pub mod domain;
pub mod http;
pub mod mbox;
pub mod metrics;
pub mod reactions;
pub mod store;
pub mod templates;
pub mod views;
pub mod wire;
pub mod world;

use std::sync::Arc;

use chassis::{Chassis, database};
use mailbox::{Mailbox, Options};
use proto::topic;
use tokio::sync::mpsc;

use crate::{config::Config, mbox::EmailFile, reactions::Notify};

/// Its name: consumer group, health, metrics.
pub const NAME: &str = "notify-svc";
/// Connections for looks and the sweep; batches have their own.
const POOL_MAX: u32 = 4;

/// Starts what this service does, and waits for the end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let url = config.database_url.expose();
    database::migrate(url, &store::MIGRATOR).await?;
    database::watch(&chassis.health, url)?;
    let pool = database::connect_pool(url, POOL_MAX).await?;

    let (jobs, waiting) = mpsc::channel(deliveries::WAITING_MAX);
    let reactor = Arc::new(Notify { jobs });
    let options = Options {
        instance: config.chassis.instance(),
        ..service::options(NAME, &[topic::NOTIFICATIONS], url, &config.kafka)
    };
    let (mailbox, loops) = Mailbox::open(options, reactor).await?;
    service::spawn(&mut chassis, &mailbox, loops);
    let (mbox, recording, swept) = (EmailFile::new(config.mbox), mailbox.clone(), pool.clone());
    chassis
        .tasks
        .spawn("deliveries", |stop| deliveries::deliver(waiting, mbox, recording, swept, stop));
    chassis.serve(http::router(http::Site { pool, mailbox })).await?;
    chassis.wait().await
}
