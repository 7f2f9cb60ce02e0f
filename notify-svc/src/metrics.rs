//! What this service counts, beside what the mailbox and the edge count for all.
//!
//! A description names its labels in backquotes; docs/metrics.md is made of it.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use time::Duration;

use crate::{
    domain::{Channel, DeliveryStatus},
    world::World,
};

const NOTIFICATIONS: &str = "notifications_total";
const ATTEMPTS: &str = "delivery_attempts_total";
const WEBHOOK_ATTEMPTS: &str = "webhook_attempts_total";
const WEBHOOK_EVENTS_NOT_KEPT: &str = "webhook_events_not_kept_total";
const WEBHOOKS: &str = "webhooks";
const WEBHOOK_WAITING: &str = "webhook_oldest_waiting_seconds";

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe() {
    describe_counter!(NOTIFICATIONS, "Notifications by `result`: what became of them");
    describe_counter!(ATTEMPTS, "Attempts at deliveries, by `channel` and `result`");
    describe_counter!(WEBHOOK_ATTEMPTS, "Attempts at telling webhooks of events, by `result`");
    describe_counter!(
        WEBHOOK_EVENTS_NOT_KEPT,
        "Events that webhooks are not told of, because they were said more than a week ago"
    );
    describe_gauge!(WEBHOOKS, "Webhooks by `status`: enabled, or disabled by their failures");
    describe_gauge!(
        WEBHOOK_WAITING,
        Unit::Seconds,
        "Age of the oldest event that an enabled webhook is still to be told"
    );
    for result in ["failed", "queued", "sent"] {
        let _shown = counter!(NOTIFICATIONS, "result" => result);
    }
    for channel in Channel::ALL {
        for result in ["later", "refused", "sent"] {
            let _shown = counter!(ATTEMPTS, "channel" => channel.as_str(), "result" => result);
        }
    }
    for result in ["delivered", "failed", "later"] {
        let _shown = counter!(WEBHOOK_ATTEMPTS, "result" => result);
    }
    let _shown = counter!(WEBHOOK_EVENTS_NOT_KEPT);
    webhooks(0, 0, Duration::ZERO);
}

/// Counts what became of notifications in a committed batch.
pub fn notifications(world: &World) {
    let made = world.notifications.iter().map(|it| it.status);
    let [mut queued, mut sent, mut failed] = [0_u64; 3];
    for status in made.chain(world.ended.iter().map(|it| it.status)) {
        match status {
            DeliveryStatus::Queued => queued += 1,
            DeliveryStatus::Sent => sent += 1,
            DeliveryStatus::Failed(_) => failed += 1,
        }
    }
    for (result, count) in [("queued", queued), ("failed", failed), ("sent", sent)] {
        if count > 0 {
            counter!(NOTIFICATIONS, "result" => result).increment(count);
        }
    }
}

/// Counts an attempt at a delivery.
pub fn attempt(channel: Channel, result: &'static str) {
    counter!(ATTEMPTS, "channel" => channel.as_str(), "result" => result).increment(1);
}

/// Counts an attempt at telling a webhook of an event.
pub fn webhook_attempt(result: &'static str) {
    counter!(WEBHOOK_ATTEMPTS, "result" => result).increment(1);
}

/// Counts an event that came too late to be kept for webhooks.
pub fn event_not_kept() {
    counter!(WEBHOOK_EVENTS_NOT_KEPT).increment(1);
}

/// Shows how many webhooks there are, and for how long the oldest event has waited for one.
pub fn webhooks(enabled: usize, disabled: usize, oldest: Duration) {
    gauge!(WEBHOOK_WAITING).set(oldest.as_seconds_f64());
    for (status, count) in [("enabled", enabled), ("disabled", disabled)] {
        gauge!(WEBHOOKS, "status" => status).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}
