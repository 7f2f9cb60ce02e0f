//! The notification service.
//!
//! ```text
//! Owns   what customers are told about their orders, and where they can be reached.
//! Hears  OrderConfirmed OrderAwaitingPayment OrderCancelled OrderShipped OrderDelivered
//!        PaymentRefunded
//! Says   NotificationSent NotificationFailed
//! Keeps  A customer is told each thing once; an order never waits for it.
//! ```

pub mod apply;
pub mod carriers;
pub mod commands;
pub mod config;
pub mod deliveries;
pub mod domain;
pub mod http;
pub mod input;
pub mod jobs;
pub mod metrics;
pub mod reactions;
pub mod refusals;
pub mod store;
pub mod templates;
pub mod views;
pub mod wire;
pub mod world;

use std::sync::Arc;

use chassis::{Chassis, Guard};
use proto::topic;
use service_kit::ServiceSpec;

use crate::{
    carriers::{smtp::Mailer, webhook::WebhookCarrier},
    config::Config,
    deliveries::{ATTEMPT_MAX, DeliveryRoom, deliver},
    domain::Channel,
    http::AppState,
    jobs::JobQueues,
    reactions::Notify,
    templates::Templates,
};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "notify-svc";

/// Starts every task of this service, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let mailer = Mailer::new(config.smtp()?)?;
    let sms = WebhookCarrier::new(config.endpoint(Channel::Sms))?;
    let push = WebhookCarrier::new(config.endpoint(Channel::Push))?;
    let (jobs, [emails, texts, pushes]) = JobQueues::new();
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
    let templates = Arc::new(Templates::default());
    let room = DeliveryRoom {
        mailbox: mailbox.clone(),
        pool: pool.clone(),
        templates: Arc::clone(&templates),
        give_up_after: config.give_up_after,
        attempts_at_once: usize::try_from(config.attempts_at_once)?,
        attempt_timeout: ATTEMPT_MAX,
    };
    let tasks = &mut chassis.tasks;
    let each = room.clone();
    tasks.spawn("mails", |stop| deliver((Channel::Email, mailer), emails, each, stop));
    let each = room.clone();
    tasks.spawn("texts", |stop| deliver((Channel::Sms, sms), texts, each, stop));
    tasks.spawn("pushes", |stop| deliver((Channel::Push, push), pushes, room, stop));
    let guard = Guard::start(&config.identity, &mut chassis.tasks, &chassis.health).await?;
    chassis.serve(guard.protect(http::router(AppState { pool, mailbox, templates }))).await?;
    chassis.wait().await
}
