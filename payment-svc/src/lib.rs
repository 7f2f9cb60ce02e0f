//! The payment service.
//!
//! ```text
//! Owns   the money of orders, and customers' accounts with their ledger.
//! Hears  StockReserved OrderCancelled
//! Says   PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded
//! Keeps  An order's money is captured at most once, and a cancelled order's is given back once.
//! ```

pub mod charges;
pub mod commands;
pub mod config;
pub mod domain;
pub mod holds;
pub mod http;
pub mod outcomes;
pub mod provider;
pub mod reactions;
pub mod store;
pub mod wire;

mod cards;
mod metrics;
mod views;

use std::sync::Arc;

use chassis::{Chassis, database};
use mailbox::{Mailbox, Options};
use proto::topic;
use tokio::sync::mpsc;

use crate::{
    charges::{Charges, Limits},
    config::Config,
    outcomes::Outcomes,
    provider::Simulator,
    reactions::Payments,
};

/// Its name: consumer group, health, metrics.
pub const NAME: &str = "payment-svc";
/// Connections for looks; batches have their own.
const POOL_MAX: u32 = 8;
/// Calls that wait to be made; a burst beyond it is left to the sweep.
const CALLS_WAITING_MAX: usize = 4_096;

/// Starts what this service does, and waits for the end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let url = config.database_url.expose();
    database::migrate(url, &store::MIGRATOR).await?;
    database::watch(&chassis.health, url)?;
    let pool = database::connect_pool(url, POOL_MAX).await?;
    metrics::describe();

    let outcomes = Outcomes::default();
    let (begun, calls) = mpsc::channel(CALLS_WAITING_MAX);
    let reactor = Arc::new(Payments {
        seal_key: config.seal_key.expose().clone(),
        lease: config.call_lease,
        begun,
        outcomes: outcomes.clone(),
    });
    let options = Options {
        instance: config.chassis.instance(),
        ..service::options(NAME, &[topic::PAYMENTS], url, &config.kafka)
    };
    let (mailbox, loops) = Mailbox::open(options, reactor).await?;
    service::spawn(&mut chassis, &mailbox, loops);
    let provider = Simulator::new(&config.simulator_url, config.provider_timeout)?;
    let limits = Limits {
        lease: config.call_lease,
        longest: config.longest_call(),
        sweep: config.call_sweep,
    };
    let charges = Charges::new(provider, mailbox.clone(), pool.clone(), calls, limits);
    chassis.tasks.spawn("charges", |stop| charges.run(stop));
    let (expiring, overdue) = (mailbox.clone(), pool.clone());
    chassis.tasks.spawn("holds", |stop| holds::run(expiring, overdue, stop));
    charges::watch(&chassis.health, &pool);
    chassis.serve(http::router(http::Site { pool, mailbox, outcomes })).await?;
    chassis.wait().await
}
