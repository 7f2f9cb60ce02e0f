//! The inventory service.
//!
//! ```text
//! Owns   products, stock, and what of it is reserved, for orders and by staff.
//! Hears  OrderPlaced OrderAmended OrderConfirmed OrderCancelled
//! Says   StockReserved StockRejected StockReleased ReservationExpired ProductChanged
//! Keeps  No piece is promised twice; what an order holds goes back only when it has ended.
//! ```

pub mod commands;
pub mod config;
pub mod deadlines;
pub mod domain;
pub mod http;
pub mod input;
pub mod metrics;
pub mod reactions;
pub mod refusals;
pub mod relisting;
pub mod search;
pub mod store;
pub mod views;
pub mod wire;
pub mod world;

use chassis::{Chassis, Guard};
use proto::topic;
use service_kit::ServiceSpec;
use time::Duration;

use crate::{config::Config, http::AppState, reactions::Inventory};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "inventory-svc";

/// Starts every task of this service, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let reactor = Inventory { hold: Duration::try_from(config.reservation_hold)? };
    let service = ServiceSpec {
        name: NAME,
        says: &[topic::STOCK, topic::CATALOGUE],
        migrator: &store::MIGRATOR,
        weekly: &[],
    };
    let (pool, mailbox) =
        service_kit::start(&mut chassis, &config.service, service, reactor).await?;
    chassis.tasks.spawn("deadlines", {
        let (pool, mailbox) = (pool.clone(), mailbox.clone());
        |stop| deadlines::sweep(pool, mailbox, stop)
    });
    chassis.tasks.spawn("relisting", {
        let (pool, mailbox) = (pool.clone(), mailbox.clone());
        |stop| relisting::watch(pool, mailbox, stop)
    });
    let guard = Guard::start(&config.service.identity, &mut chassis.tasks, &chassis.health).await?;
    chassis.serve(guard.protect(http::router(AppState { pool, mailbox }))).await?;
    chassis.wait().await
}
