//! Requests that wait for an order to change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use proto::OrderId;
use tokio::sync::Notify;

/// Who waits for which order. Cheap to clone.
///
/// A wake-up is only a hint: an order may change in another instance, so whoever waits looks again
/// now and then.
#[derive(Clone, Default)]
pub struct Waiters(Arc<Mutex<HashMap<OrderId, Bell>>>);

#[derive(Default)]
struct Bell {
    notify: Arc<Notify>,
    listeners: usize,
}

/// One who waits; dropping it is giving up.
pub struct Waiter {
    waiters: Waiters,
    order: OrderId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Wakes all who wait for these orders.
    pub fn wake(&self, orders: impl Iterator<Item = OrderId>) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.is_empty() {
            return;
        }
        for order in orders {
            if let Some(bell) = bells.get(&order) {
                bell.notify.notify_waiters();
            }
        }
    }

    /// Listens from now on.
    pub fn wait(&self, order: OrderId) -> Waiter {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = bells.entry(order).or_default();
        bell.listeners += 1;
        Waiter { waiters: self.clone(), order, notify: Arc::clone(&bell.notify) }
    }
}

impl Waiter {
    /// What ends at the next change. Take it before looking at the order, so that no change slips
    /// in between.
    pub fn next(&self) -> impl Future<Output = ()> + '_ {
        self.notify.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut bells = self.waiters.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get_mut(&self.order) {
            bell.listeners -= 1;
            if bell.listeners == 0 {
                bells.remove(&self.order);
            }
        }
    }
}
