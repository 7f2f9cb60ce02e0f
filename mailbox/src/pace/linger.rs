//! Lingering: messages for whose effect nobody waits wait for others themselves.
//!
//! A batch of one costs nearly as much as a batch of ten. On a quiet day each event is a batch of
//! its own, and most of them only note something down.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

/// How long messages linger at most.
const LINGER: Duration = Duration::from_millis(100);

/// Adds to `received` what comes while all of it may linger, up to `limit`.
pub(crate) async fn linger<T>(
    taken: &mut UnboundedReceiver<T>,
    received: &mut Vec<T>,
    limit: usize,
    may_linger: impl Fn(&T) -> bool,
) {
    let over = tokio::time::sleep(LINGER);
    tokio::pin!(over);
    let mut seen = 0;
    while (1..limit).contains(&received.len()) && received[seen..].iter().all(&may_linger) {
        seen = received.len();
        tokio::select! {
            biased;
            () = &mut over => return,
            some = taken.recv_many(received, limit - seen) => {
                if some == 0 {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::Instant};

    use super::*;

    /// What one turn that begins with `first` receives, and how many milliseconds it takes. Others
    /// are sent so much later; odd ones are in a hurry.
    async fn turn(first: &[u32], sent: &[(u64, u32)]) -> (Vec<u32>, u128) {
        let (sender, mut taken) = mpsc::unbounded_channel();
        let (mut received, start) = (first.to_vec(), Instant::now());
        let come = async {
            for (after, message) in sent {
                tokio::time::sleep_until(start + Duration::from_millis(*after)).await;
                sender.send(*message).unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = come => {}
            () = linger(&mut taken, &mut received, 4, |message| message % 2 == 0) => {}
        }
        (received, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_may_linger_wait_for_others_until_one_is_in_a_hurry() {
        assert_eq!(turn(&[1], &[]).await, (vec![1], 0));
        assert_eq!(turn(&[2, 1], &[(1, 4)]).await, (vec![2, 1], 0));
        assert_eq!(turn(&[2], &[(10, 4), (20, 3), (30, 6)]).await, (vec![2, 4, 3], 20));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_lingers_beyond_the_limits() {
        assert_eq!(turn(&[2], &[(10, 4), (90, 6), (120, 8)]).await, (vec![2, 4, 6], 100));
        assert_eq!(turn(&[2], &[(1, 4), (2, 6), (3, 8), (4, 3)]).await, (vec![2, 4, 6, 8], 3));
        assert_eq!(turn(&[], &[(1, 2)]).await, (vec![], 0), "only a held row is looked at");
    }
}
