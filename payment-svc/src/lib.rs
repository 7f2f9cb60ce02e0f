//! The payment service.
//!
//! ```text
//! Owns   the money of orders, and customers' accounts with their ledger.
//! Hears  StockReserved OrderCancelled
//! Says   PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded RefundRefused
//! Keeps  An order's money is captured at most once, and a cancelled order's is given back once.
//! ```

pub mod apply;
pub mod charges;
pub mod commands;
pub mod config;
pub mod domain;
pub mod holds;
pub mod http;
pub mod input;
pub mod provider;
pub mod reactions;
pub mod refusals;
pub mod store;
pub mod views;
pub mod wire;
pub mod world;

mod cards;
pub mod metrics;

use chassis::{Chassis, Guard};
use proto::topic;
use service_kit::{ServiceSpec, Waiters};
use tokio::sync::mpsc;

use crate::{
    charges::{CallLimits, Charges},
    config::Config,
    http::AppState,
    reactions::Payments,
};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "payment-svc";
/// Committed calls that may wait to be made; those beyond it are left to the sweep.
const CALLS_WAITING_MAX: usize = 4_096;

/// Starts every task of this service, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let provider = config.providers()?;
    let routing = provider.routing();
    let waiters = Waiters::default();
    let (begun, calls) = mpsc::channel(CALLS_WAITING_MAX);
    let keys = config.seal.seal_key.expose().clone();
    let reactor = Payments {
        seal_key: keys.clone(),
        routing,
        lease: config.call_lease,
        begun,
        waiters: waiters.clone(),
    };
    let service = ServiceSpec {
        name: NAME,
        says: &[topic::PAYMENTS],
        migrator: &store::MIGRATOR,
        weekly: &[],
    };
    let (pool, mailbox) =
        service_kit::start(&mut chassis, &config.service, service, reactor).await?;
    let limits = CallLimits {
        lease: config.call_lease,
        longest: config.longest_call(),
        sweep: config.call_sweep,
    };
    let charges = Charges::new(provider, (mailbox.clone(), pool.clone()), keys, calls, limits);
    chassis.tasks.spawn("charges", |stop| charges.run(stop));
    chassis.tasks.spawn("holds", {
        let (pool, mailbox) = (pool.clone(), mailbox.clone());
        |stop| holds::sweep(pool, mailbox, stop)
    });
    charges::watch(&chassis.health, &pool);
    let stripe_webhook = config.stripe.stripe_webhook_secret.map(|it| it.expose().clone());
    let state = AppState { pool, mailbox, waiters, routing, stripe_webhook };
    let guard = Guard::start(&config.service.identity, &mut chassis.tasks, &chassis.health).await?;
    chassis.serve(guard.protect(http::router(state))).await?;
    chassis.wait().await
}
