//! The notification service.
//!
//! ```text
//! Owns   what customers are told about their orders, and where they can be reached; webhooks.
//! Hears  OrderPlaced OrderAwaitingPayment OrderConfirmed OrderCancelled OrderAmended OrderShipped
//!        OrderDelivered PaymentCaptured PaymentDeclined PaymentVoided PaymentRefunded
//!        RefundRefused StockReserved StockRejected StockReleased ReservationExpired
//!        ProductChanged
//! Says   NotificationSent NotificationFailed
//! Keeps  A customer is told each thing once; an order never waits for it, nor for a webhook.
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
pub mod webhooks;
pub mod wire;
pub mod world;

use std::sync::Arc;

use chassis::{Chassis, Guard, database};
use mailbox::WeeklyTable;
use proto::topic;
use service_kit::ServiceSpec;
use tokio::sync::watch;

use crate::{
    carriers::{signed::SigningClient, smtp::Mailer, webhook::WebhookCarrier},
    config::Config,
    deliveries::{ATTEMPT_MAX, DeliveryRoom, deliver},
    domain::Channel,
    http::AppState,
    jobs::JobQueues,
    reactions::Notify,
    templates::Templates,
    webhooks::{WebhookRoom, WebhookStanding},
};

/// The service's name: its consumer group, and how health and metrics call it.
pub const NAME: &str = "notify-svc";
/// The events that are kept for webhooks: at least a week of them, and this one.
const KEPT_EVENTS: WeeklyTable = WeeklyTable { name: "webhook_events", behind: 1, kept: Some(1) };
/// Connections of the workers of webhooks.
const WEBHOOK_CONNECTIONS: u32 = 4;

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
        weekly: &[KEPT_EVENTS],
    };
    let (webhooks, fresh) = watch::channel(());
    let reactor = Notify { jobs, webhooks };
    let (pool, mailbox) =
        service_kit::start(&mut chassis, &config.service, service, reactor).await?;
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
    let addresses = config.addresses();
    let standing = WebhookStanding::default();
    let webhooks = WebhookRoom {
        pool: database::connect_pool(config.service.database_url.expose(), WEBHOOK_CONNECTIONS)
            .await?,
        client: SigningClient::new(addresses, webhooks::ATTEMPT_MAX)?,
        fresh,
        attempts_at_once: usize::try_from(config.attempts_at_once)?,
        attempt_timeout: webhooks::ATTEMPT_MAX,
        standing: standing.clone(),
    };
    chassis.health.notice_known("webhooks", move || standing.told());
    tasks.spawn("webhooks", |stop| webhooks::tell(webhooks, stop));
    let guard = Guard::start(&config.service.identity, &mut chassis.tasks, &chassis.health).await?;
    let counting = database::connect_pool(config.service.database_url.expose(), 1).await?;
    let state = AppState { pool, mailbox, templates, addresses, counting };
    chassis.serve(guard.protect(http::router(state))).await?;
    chassis.wait().await
}
