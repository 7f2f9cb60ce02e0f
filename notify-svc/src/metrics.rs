//! What this service counts, beside what the mailbox and the edge count for all.

use metrics::{counter, describe_counter};

use crate::{domain::DeliveryStatus, world::World};

const NOTIFICATIONS: &str = "notifications_total";

/// Tells the exporter what the numbers mean.
pub fn describe() {
    describe_counter!(NOTIFICATIONS, "Notifications by what became of them: queued, sent, failed");
}

/// Counts what became of notifications in a committed batch.
pub fn notifications(world: &World) {
    let queued =
        world.notifications.iter().filter(|it| it.status == DeliveryStatus::Queued).count();
    let failed = world.notifications.len() - queued;
    for (result, count) in [("queued", queued), ("failed", failed), ("sent", world.delivered.len())]
    {
        if count > 0 {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            counter!(NOTIFICATIONS, "result" => result).increment(count);
        }
    }
}
