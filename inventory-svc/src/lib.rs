//! The inventory service.
//!
//! ```text
//! Owns   products, stock, and what of it is promised to orders.
//! Hears  OrderPlaced OrderConfirmed OrderCancelled
//! Says   StockReserved StockRejected StockReleased ReservationExpired ProductChanged
//! Keeps  No piece is promised twice; what is held goes back only when its order has ended.
//! ```

pub mod commands;
pub mod config;
pub mod deadlines;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod reactions;
pub mod relisting;
pub mod search;
pub mod store;
pub mod views;
pub mod wire;
pub mod world;

use std::sync::Arc;

use chassis::{Chassis, database};
use mailbox::{Mailbox, Options};
use proto::topic;
use time::Duration;

use crate::{config::Config, reactions::Inventory};

/// Its name: consumer group, health, metrics.
pub const NAME: &str = "inventory-svc";
/// Connections for looks; batches have their own.
const POOL_MAX: u32 = 8;

/// Starts what this service does, and waits for the end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let url = config.database_url.expose();
    database::migrate(url, &store::MIGRATOR).await?;
    database::watch(&chassis.health, url)?;
    let pool = database::connect_pool(url, POOL_MAX).await?;

    let reactor = Arc::new(Inventory { hold: Duration::try_from(config.reservation_hold)? });
    let options = Options {
        instance: config.chassis.instance(),
        ..service::options(NAME, &[topic::STOCK, topic::CATALOGUE], url, &config.kafka)
    };
    let (mailbox, loops) = Mailbox::open(options, reactor).await?;
    service::spawn(&mut chassis, &mailbox, loops);
    let (swept, sweeping) = (pool.clone(), mailbox.clone());
    chassis.tasks.spawn("deadlines", |stop| deadlines::sweep(swept, sweeping, stop));
    let (looked, saying) = (pool.clone(), mailbox.clone());
    chassis.tasks.spawn("relisting", |stop| relisting::watch(looked, saying, stop));
    chassis.serve(http::router(http::Site { pool, mailbox })).await?;
    chassis.wait().await
}
