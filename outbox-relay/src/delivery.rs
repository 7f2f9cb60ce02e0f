//! What becomes of the messages that a lane's producer sends: how each batch ends, and the first
//! failure, which ends the producer.

use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{acknowledged::AcknowledgedEnds, traffic::Traffic};

/// What a producer knows of its messages.
pub(crate) struct Deliveries {
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) ends: Arc<AcknowledgedEnds>,
    /// Why librdkafka sends nothing more.
    failure: OnceLock<String>,
    /// Kafka's error for the message that it refused, which says more than `failure`.
    refusal: OnceLock<String>,
    /// Why Kafka was last not reached.
    away: Mutex<String>,
    pub(crate) broken: CancellationToken,
}

impl Deliveries {
    pub(crate) fn new(traffic: &Arc<Traffic>, ends: Arc<AcknowledgedEnds>) -> Arc<Self> {
        Arc::new(Self {
            traffic: Arc::clone(traffic),
            in_flight: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            ends,
            failure: OnceLock::new(),
            refusal: OnceLock::new(),
            away: Mutex::new("no broker is known to be away".to_owned()),
            broken: CancellationToken::new(),
        })
    }

    /// Breaks the producer, at the first failure.
    pub(crate) fn fail(&self, why: String) {
        if self.failure.set(why).is_ok() {
            self.broken.cancel();
        }
    }

    /// Takes note of a message that was not taken, and breaks the producer; `message` says which.
    pub(crate) fn refuse(&self, batch: &Batch, error: &KafkaError, message: &dyn Display) {
        batch.has_failed.store(true, Ordering::Relaxed);
        if is_about_the_message(error) {
            drop(self.refusal.set(format!("{message}: {error}")));
        }
        self.fail(error.to_string());
    }

    /// Takes note of a broker that was not reached. How long that took is left out: it differs each
    /// time, and a status that changes is logged.
    pub(crate) fn note_away(&self, reason: &str) {
        let why = reason.split(" (after ").next().unwrap_or_default();
        why.clone_into(&mut self.away.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why Kafka was last not reached.
    pub(crate) fn away(&self) -> String {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the producer is broken.
    pub(crate) fn failure(&self) -> String {
        self.refusal.get().or(self.failure.get()).cloned().unwrap_or_default()
    }
}

/// An event that librdkafka itself does not take, in words.
pub(crate) fn unsendable(position: i64) -> String {
    format!("the event at position {position} cannot be sent")
}

/// Whether an error is the message's own: after the first failure librdkafka fails all others, too.
fn is_about_the_message(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight
        )
    )
}

/// How a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At once.
    Poll,
    /// Collected with others into large requests: a broker's work is per request, and without
    /// waiting a request carries a handful of events.
    Scan,
}

/// The messages sent of one poll or window. Each message holds a reference until Kafka has answered
/// for it, so the batch is dropped, and its end known, with the last answer.
pub(crate) struct Batch {
    pub(crate) way: Way,
    pub(crate) opened_at: Instant,
    deliveries: Arc<Deliveries>,
    weight: AtomicUsize,
    pub(crate) has_failed: AtomicBool,
    end: Arc<OnceLock<End>>,
    /// Notified when the batch has ended, and when messages of it need wait no longer
    /// (`partitions`).
    pub(crate) wake: Arc<Notify>,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// At least one message was not acknowledged.
    Failed,
}

impl Batch {
    pub(crate) fn open(
        deliveries: &Arc<Deliveries>,
        way: Way,
        wake: &Arc<Notify>,
    ) -> (Arc<Self>, Receipt) {
        let end = Arc::new(OnceLock::new());
        let batch = Arc::new(Self {
            way,
            opened_at: Instant::now(),
            deliveries: Arc::clone(deliveries),
            weight: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            end: Arc::clone(&end),
            wake: Arc::clone(wake),
        });
        (batch, Receipt(end))
    }

    /// Closes the batch: it has all of its messages, `weight` bytes of them.
    pub(crate) fn close(&self, weight: usize) {
        self.weight.store(weight, Ordering::Relaxed);
        self.deliveries.in_flight.fetch_add(weight, Ordering::Relaxed);
        self.deliveries.traffic.enter(weight);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let weight = *self.weight.get_mut();
        self.deliveries.in_flight.fetch_sub(weight, Ordering::Relaxed);
        self.deliveries.traffic.leave(weight);
        let end = if *self.has_failed.get_mut() { End::Failed } else { End::Acknowledged };
        _ = self.end.set(end);
        self.wake.notify_one();
    }
}

/// Tells how a batch ended, once it has.
pub(crate) struct Receipt(Arc<OnceLock<End>>);

impl Receipt {
    pub(crate) fn end(&self) -> Option<End> {
        self.0.get().copied()
    }
}
