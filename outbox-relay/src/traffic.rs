//! What the lanes of a process share on their way to Kafka: the room in flight, and the rate.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Bytes that all lanes together may have in flight: two windows of small events. With their
/// headers librdkafka holds about three times as much.
const IN_FLIGHT_MAX: usize = 8 << 20;

/// What all lanes of the process have in flight, and what Kafka acknowledges of it.
pub(crate) struct Traffic {
    lanes: usize,
    in_flight: AtomicUsize,
    acknowledged: AtomicU64,
    rate: Mutex<Rate>,
}

/// Events acknowledged in the last full second.
struct Rate {
    since: Instant,
    acknowledged: u64,
    per_second: u64,
}

impl Traffic {
    pub(crate) fn new(lanes: usize) -> Self {
        let rate = Rate { since: Instant::now(), acknowledged: 0, per_second: 0 };
        Self {
            lanes: lanes.max(1),
            in_flight: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            rate: Mutex::new(rate),
        }
    }

    /// Events a second that all lanes together had acknowledged in the last full second.
    pub(crate) fn rate(&self) -> u64 {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = rate.since.elapsed();
        if elapsed >= Duration::from_secs(1) {
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            rate.per_second = (acknowledged - rate.acknowledged) * 1_000 / millis;
            rate.acknowledged = acknowledged;
            rate.since = Instant::now();
        }
        rate.per_second
    }

    /// Whether a lane with `own` bytes in flight may send more: while there is room for all lanes,
    /// or while it is below its own share, so that a lane whose messages wait for Kafka takes no
    /// other's share.
    pub(crate) fn has_room(&self, own: usize) -> bool {
        let all = self.in_flight.load(Ordering::Relaxed);
        all < IN_FLIGHT_MAX || own < IN_FLIGHT_MAX / self.lanes
    }

    pub(crate) fn enter(&self, weight: usize) {
        self.in_flight.fetch_add(weight, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, weight: usize) {
        self.in_flight.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Counts a message that Kafka has acknowledged.
    pub(crate) fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_waits_for_kafka_leaves_the_others_their_share() {
        let traffic = Traffic::new(4);
        assert!(traffic.has_room(IN_FLIGHT_MAX - 1), "alone it may take all");

        traffic.in_flight.store(IN_FLIGHT_MAX, Ordering::Relaxed);
        assert!(!traffic.has_room(IN_FLIGHT_MAX), "who has it all gets no more");
        assert!(traffic.has_room(0));
        assert!(!traffic.has_room(IN_FLIGHT_MAX / 4));
    }
}
