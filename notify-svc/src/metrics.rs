//! What this service counts, beside what the mailbox and the edge count for all.

use metrics::{counter, describe_counter};

use crate::{
    domain::{Channel, DeliveryStatus},
    world::World,
};

const NOTIFICATIONS: &str = "notifications_total";
const ATTEMPTS: &str = "delivery_attempts_total";

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!(NOTIFICATIONS, "Notifications by what became of them: queued, sent, failed");
    describe_counter!(
        ATTEMPTS,
        "Attempts at deliveries by channel and result: sent, refused, later"
    );
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
