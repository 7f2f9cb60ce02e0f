//! The notification service.
//!
//! ```text
//! Owns   what customers are told about their orders, and where they can be reached.
//! Hears  OrderConfirmed OrderAwaitingPayment OrderCancelled PaymentRefunded
//! Says   NotificationSent NotificationFailed
//! Keeps  A customer is told each thing once; an order never waits for it.
//! ```

pub mod commands;
pub mod config;
pub mod deliveries;
pub mod domain;
pub mod email_file;
pub mod http;
pub mod input;
pub mod metrics;
pub mod reactions;
pub mod store;
pub mod templates;
pub mod views;
pub mod wire;
pub mod world;

use chassis::Chassis;
use proto::topic;
use service_kit::ServiceSpec;
use tokio::sync::mpsc;

use crate::{config::Config, email_file::EmailFile, http::AppState, reactions::Notify};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "notify-svc";

/// Starts every task of this service, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let (jobs, waiting) = mpsc::channel(deliveries::WAITING_MAX);
    let service = ServiceSpec {
        name: NAME,
        says: &[topic::NOTIFICATIONS],
        migrator: &store::MIGRATOR,
        weekly: &[],
    };
    let reactor = Notify { jobs };
    let (pool, mailbox) =
        service_kit::start(&mut chassis, &config.chassis, &config.backing, service, reactor)
            .await?;
    chassis.tasks.spawn("deliveries", {
        let (file, pool, mailbox) = (EmailFile::new(config.mbox), pool.clone(), mailbox.clone());
        |stop| deliveries::deliver(waiting, file, mailbox, pool, stop)
    });
    chassis.serve(http::router(AppState { pool, mailbox })).await?;
    chassis.wait().await
}
