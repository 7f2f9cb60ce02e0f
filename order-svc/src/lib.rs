//! The order service.
//!
//! ```text
//! Owns   the life of an order, from placed to confirmed or cancelled.
//! Hears  StockReserved StockRejected StockReleased ReservationExpired
//!        PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded RefundRefused
//!        NotificationSent NotificationFailed ProductChanged
//! Says   OrderPlaced OrderAmended OrderAwaitingPayment OrderConfirmed
//!        OrderShipped OrderDelivered OrderCancelled
//! Keeps  An order ends once: confirmed only if its stock is held and its total is paid.
//! ```

pub mod commands;
pub mod config;
pub mod deadlines;
pub mod domain;
pub mod http;
pub mod input;
pub mod metrics;
pub mod pressure;
pub mod reactions;
pub mod refusals;
pub mod saga_gauges;
pub mod store;
pub mod views;
pub mod wire;
pub mod world;

use chassis::{Chassis, Guard};
use mailbox::WeeklyTable;
use proto::topic;
use service_kit::{ServiceSpec, Waiters};
use time::Duration;

use crate::{
    config::Config, http::AppState, metrics::Metrics, pressure::Pressure, reactions::Orders,
};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "order-svc";

/// Starts every task of this service, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let pay_within = Duration::try_from(config.payment_deadline)?;
    let waiters = Waiters::default();
    let reactor = Orders { waiters: waiters.clone(), metrics: Metrics::default() };
    let service = ServiceSpec {
        name: NAME,
        says: &[topic::ORDERS],
        migrator: &store::MIGRATOR,
        weekly: &[WeeklyTable { name: "order_events", behind: 0, kept: None }],
    };
    let (pool, mailbox) =
        service_kit::start(&mut chassis, &config.service, service, reactor).await?;
    chassis.tasks.spawn("deadlines", {
        let (pool, mailbox, every) = (pool.clone(), mailbox.clone(), config.deadline_sweep);
        move |stop| deadlines::sweep(pool, mailbox, every, stop)
    });
    let pressure = Pressure::default();
    chassis.health.notice("new_orders", {
        let pressure = pressure.clone();
        move || std::future::ready(pressure.wrong())
    });
    chassis.tasks.spawn("pressure", {
        let (pressure, pool, limits) = (pressure.clone(), pool.clone(), config.limits());
        move |stop| pressure.run(pool, limits, stop)
    });
    chassis.tasks.spawn("saga_gauges", {
        let pool = pool.clone();
        move |stop| saga_gauges::run(pool, stop)
    });
    let seal_key = config.seal.seal_key.expose().clone();
    let state = AppState { pool, mailbox, waiters, pressure, seal_key, pay_within };
    let guard = Guard::start(&config.service.identity, &mut chassis.tasks, &chassis.health).await?;
    chassis.serve(guard.protect(http::router(state))).await?;
    chassis.wait().await
}
