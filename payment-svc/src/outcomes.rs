//! Who waits for a payment to change: requests, until a batch has been committed.
//!
//! A wake-up is only a hint to look again. Another process may commit what somebody waits for here,
//! so every wait also looks from time to time.

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

/// How often a wait looks without having been woken.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The orders that somebody waits for. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Arc<Mutex<HashMap<OrderId, WaitList>>>);

#[derive(Debug, Default)]
struct WaitList {
    wake: Arc<Notify>,
    count: usize,
}

/// One that waits; leaves when dropped.
struct Waiter {
    outcomes: Outcomes,
    order: OrderId,
    wake: Arc<Notify>,
}

impl Outcomes {
    /// Wakes whoever waits for these.
    pub fn changed(&self, orders: &[OrderId]) {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        for order in orders {
            if let Some(waiting) = waiting.get(order) {
                waiting.wake.notify_waiters();
            }
        }
    }

    /// Looks at each change of `order` until there is something to see, or `within` has passed.
    pub async fn wait<T, E, Looking>(
        &self,
        order: OrderId,
        within: Duration,
        mut look: impl FnMut() -> Looking,
    ) -> Result<Option<T>, E>
    where
        Looking: Future<Output = Result<Option<T>, E>>,
    {
        let seat = self.sit_down(order);
        let end = Instant::now() + within;
        loop {
            // Listening begins before the look, so that no change falls between the two.
            let mut woken = pin!(seat.wake.notified());
            woken.as_mut().enable();
            if let Some(seen) = look().await? {
                return Ok(Some(seen));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Whether it was woken or not, it looks again.
            let _: Result<(), _> = timeout(left.min(LOOK_AGAIN), woken).await;
        }
    }

    fn sit_down(&self, order: OrderId) -> Waiter {
        let mut waiting = self.waiting();
        let place = waiting.entry(order).or_default();
        place.count += 1;
        Waiter { outcomes: self.clone(), order, wake: Arc::clone(&place.wake) }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<OrderId, WaitList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.outcomes.waiting();
        if let Some(place) = waiting.get_mut(&self.order) {
            place.count -= 1;
            if place.count == 0 {
                waiting.remove(&self.order);
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

    use proto::OrderId;
    use uuid::Uuid;

    use super::*;

    fn order() -> OrderId {
        OrderId::new(Uuid::from_u128(7))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_the_wait_and_nobody_is_left_behind() {
        let outcomes = Outcomes::default();
        let looks = AtomicU32::new(0);
        let look = || {
            let seen = (looks.fetch_add(1, Ordering::SeqCst) == 1).then_some("captured");
            ready(Ok::<_, Infallible>(seen))
        };
        let change = async {
            tokio::task::yield_now().await;
            outcomes.changed(&[order()]);
        };

        let before = Instant::now();
        let (seen, ()) =
            tokio::join!(outcomes.wait(order(), Duration::from_secs(10), look), change);

        assert_eq!(seen, Ok(Some("captured")));
        assert_eq!(Instant::now(), before, "it was woken, it did not look by itself");
        assert!(outcomes.waiting().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_its_time() {
        let before = Instant::now();

        let nothing = || ready(Ok::<Option<()>, Infallible>(None));
        let seen = Outcomes::default().wait(order(), Duration::from_secs(2), nothing).await;

        assert_eq!(seen, Ok(None));
        assert_eq!(Instant::now() - before, Duration::from_secs(2));
    }
}
