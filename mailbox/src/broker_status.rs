//! Whether a Kafka broker answers, and why not. Logged when that changes, and not for each attempt
//! to reach one.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    statistics::Partition,
};

use crate::metrics;

/// Kafka counts as reachable until the client reports that all brokers are down.
pub(crate) struct BrokerStatus {
    near: AtomicBool,
    /// Whether this instance has ever been given partitions by its group.
    joined: AtomicBool,
    /// Why the last attempt to reach a broker failed, as the client tells it.
    failure: Mutex<String>,
    /// Whether it was logged that a broker refuses this client, or this client the broker.
    refusal_told: AtomicBool,
}

impl Default for BrokerStatus {
    fn default() -> Self {
        Self {
            near: AtomicBool::new(true),
            joined: AtomicBool::default(),
            failure: Mutex::default(),
            refusal_told: AtomicBool::default(),
        }
    }
}

impl BrokerStatus {
    pub(crate) fn is_near(&self) -> bool {
        self.near.load(Ordering::Relaxed)
    }

    /// Why no broker answers.
    pub(crate) fn fault(&self) -> Option<String> {
        (!self.is_near()).then(|| self.failure())
    }

    fn failure(&self) -> String {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, reason: &str) {
        reason.clone_into(&mut self.failure.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether messages are consumed, or will be as soon as Kafka is reachable again.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed) || !self.is_near()
    }

    pub(crate) fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Notes that a broker has answered.
    pub(crate) fn found(&self) {
        if !self.near.swap(true, Ordering::Relaxed) {
            self.refusal_told.store(false, Ordering::Relaxed);
            tracing::info!("Kafka is back");
        }
    }

    fn lost(&self) {
        if self.near.swap(false, Ordering::Relaxed) {
            let reason = self.failure();
            tracing::warn!(reason, "Kafka is away; it is tried again and again");
        }
    }

    /// A broker's certificate or this client's, or its user, is not taken.
    fn refused(&self, reason: &str) {
        self.note(reason);
        if !self.refusal_told.swap(true, Ordering::Relaxed) {
            tracing::error!(reason, "Kafka and this process do not trust each other");
        }
    }
}

impl ClientContext for BrokerStatus {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka logs every attempt to connect; what matters arrives in `error`, below.
        tracing::debug!(?level, facility, text = message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // That all brokers are down has no reason of its own: the last broker's came before.
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => self.refused(reason),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                self.note(reason);
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    reason,
                    "a broker is away"
                );
            }
            _ => tracing::warn!(error = &error as &dyn std::error::Error, reason, "librdkafka"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.found();
        }
        for topic in statistics.topics.values() {
            // Below 0 is librdkafka's own queue.
            for partition in topic.partitions.values().filter(|it| it.partition >= 0) {
                if let Some(lag) = lag(partition) {
                    metrics::lag(&topic.topic, partition.partition, lag);
                }
            }
        }
    }
}

/// The messages that are still to be consumed, if that is known. There are none for this member in
/// a partition that another one reads: what was seen of it last would stay for ever.
fn lag(partition: &Partition) -> Option<i64> {
    let is_read = !["none", "stopped"].contains(&&*partition.fetch_state);
    let lag = if is_read { partition.consumer_lag } else { 0 };
    (lag >= 0).then_some(lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_member_reads_lags() {
        let partition = |fetch_state: &str, consumer_lag| Partition {
            fetch_state: fetch_state.to_owned(),
            consumer_lag,
            ..Partition::default()
        };
        assert_eq!(lag(&partition("active", 5)), Some(5));
        assert_eq!(lag(&partition("offset-query", -1)), None);
        assert_eq!(lag(&partition("stopped", 5)), Some(0), "another member reads it now");
        assert_eq!(lag(&partition("none", -1)), Some(0));
    }
}
