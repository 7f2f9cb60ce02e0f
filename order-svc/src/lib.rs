//! The order service.
//!
//! ```text
//! Owns   the life of an order, from placed to confirmed or cancelled.
//! Hears  StockReserved StockRejected StockReleased ReservationExpired
//!        PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded
//!        NotificationSent NotificationFailed ProductChanged
//! Says   OrderPlaced OrderAwaitingPayment OrderConfirmed OrderCancelled
//! Keeps  An order ends once: confirmed only if its stock is held and its total is paid.
//! ```

pub mod config;
pub mod deadlines;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod pressure;
pub mod reactions;
pub mod store;
pub mod views;
pub mod waiters;
pub mod wire;
pub mod world;

use std::sync::Arc;

use chassis::{Chassis, database};
use mailbox::{Mailbox, Options};
use proto::topic;
use time::Duration;

use crate::{
    config::Config, http::Site, metrics::Metrics, pressure::Pressure, reactions::Orders,
    waiters::Waiters,
};

/// Its name: consumer group, health, metrics.
pub const NAME: &str = "order-svc";
/// Connections for looks; batches have their own.
const POOL_MAX: u32 = 8;

/// Starts what this service does, and waits for the end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let url = config.database_url.expose();
    database::migrate(url, &store::MIGRATOR).await?;
    database::watch(&chassis.health, url)?;
    let pool = database::connect_pool(url, POOL_MAX).await?;
    metrics::describe();

    let waiters = Waiters::default();
    let reactor = Arc::new(Orders {
        pay_within: Duration::try_from(config.payment_deadline)?,
        waiters: waiters.clone(),
        metrics: Metrics::default(),
    });
    let options = Options {
        instance: config.chassis.instance(),
        weekly: &["order_events"],
        ..service::options(NAME, &[topic::ORDERS], url, &config.kafka)
    };
    let (mailbox, loops) = Mailbox::open(options, reactor).await?;
    service::spawn(&mut chassis, &mailbox, loops);
    let (swept, sweeping, every) = (pool.clone(), mailbox.clone(), config.deadline_sweep);
    chassis.tasks.spawn("deadlines", |stop| deadlines::sweep(swept, sweeping, every, stop));
    let pressure = Pressure::default();
    let seen = pressure.clone();
    chassis.health.notice("new_orders", move || {
        let wrong = seen.wrong();
        async move { wrong }
    });
    let (gauge, measured, limits) = (pressure.clone(), pool.clone(), config.limits());
    chassis.tasks.spawn("pressure", move |stop| gauge.run(measured, limits, stop));
    let seal_key = config.seal_key.expose().clone();
    chassis.serve(http::router(Site { pool, mailbox, waiters, pressure, seal_key })).await?;
    chassis.wait().await
}
