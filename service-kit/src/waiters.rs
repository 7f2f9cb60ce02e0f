//! Requests that wait for a change of an order: until a batch is committed, or their time is over.
//!
//! A wake-up is only a hint to look again. Another instance may commit the change that a request
//! waits for here, so every wait also looks from time to time.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::OrderId;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// How often a waiting request looks without having been woken.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The requests that wait, by order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Mutex<HashMap<OrderId, WaitList>>>);

#[derive(Debug, Default)]
struct WaitList {
    changed: Arc<Notify>,
    count: usize,
}

/// A request that waits; it leaves its list when dropped.
struct Waiter {
    waiters: Waiters,
    order: OrderId,
    changed: Arc<Notify>,
}

impl Waiters {
    /// Wakes the requests that wait for these orders.
    pub fn wake(&self, orders: impl IntoIterator<Item = OrderId>) {
        let lists = self.lists();
        if lists.is_empty() {
            return;
        }
        for order in orders {
            if let Some(list) = lists.get(&order) {
                list.changed.notify_waiters();
            }
        }
    }

    /// Calls `look` at each change of `order` until it returns something, or `within` has passed.
    pub async fn wait<T, E, Looking>(
        &self,
        order: OrderId,
        within: Duration,
        mut look: impl FnMut() -> Looking,
    ) -> Result<Option<T>, E>
    where
        Looking: Future<Output = Result<Option<T>, E>>,
    {
        let waiter = self.join(order);
        let end = Instant::now() + within;
        loop {
            // Listening begins before the look, so that no change falls between the two.
            let mut woken = pin!(waiter.changed.notified());
            woken.as_mut().enable();
            if let Some(seen) = look().await? {
                return Ok(Some(seen));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Woken or timed out, it looks again.
            let _: Result<(), _> = timeout(left.min(LOOK_EVERY), woken).await;
        }
    }

    fn join(&self, order: OrderId) -> Waiter {
        let mut lists = self.lists();
        let list = lists.entry(order).or_default();
        list.count += 1;
        Waiter { waiters: self.clone(), order, changed: Arc::clone(&list.changed) }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<OrderId, WaitList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut lists = self.waiters.lists();
        if let Some(list) = lists.get_mut(&self.order) {
            list.count -= 1;
            if list.count == 0 {
                lists.remove(&self.order);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::ready,
        sync::atomic::{AtomicU32, Ordering},
    };

    use uuid::Uuid;

    use super::*;

    fn order() -> OrderId {
        OrderId::new(Uuid::from_u128(7))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_the_wait_and_nobody_is_left_behind() {
        let waiters = Waiters::default();
        let looks = AtomicU32::new(0);
        let look = || {
            let seen = (looks.fetch_add(1, Ordering::SeqCst) == 1).then_some("captured");
            ready(Ok::<_, Infallible>(seen))
        };
        let change = async {
            tokio::task::yield_now().await;
            waiters.wake([order()]);
        };

        let before = Instant::now();
        let (seen, ()) = tokio::join!(waiters.wait(order(), Duration::from_secs(10), look), change);

        assert_eq!(seen, Ok(Some("captured")));
        assert_eq!(Instant::now(), before, "it was woken, it did not look by itself");
        assert!(waiters.lists().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_its_time() {
        let before = Instant::now();

        let nothing = || ready(Ok::<Option<()>, Infallible>(None));
        let seen = Waiters::default().wait(order(), Duration::from_secs(2), nothing).await;

        assert_eq!(seen, Ok(None));
        assert_eq!(Instant::now() - before, Duration::from_secs(2));
    }
}
