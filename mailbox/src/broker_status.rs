//! Whether a Kafka broker answers. Logged when that changes, and not for each attempt to reach one.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::metrics;

/// Kafka counts as reachable until the client reports that all brokers are down.
pub(crate) struct BrokerStatus {
    near: AtomicBool,
    /// Whether this instance has ever been given partitions by its group.
    joined: AtomicBool,
}

impl Default for BrokerStatus {
    fn default() -> Self {
        Self { near: AtomicBool::new(true), joined: AtomicBool::new(false) }
    }
}

impl BrokerStatus {
    pub(crate) fn is_near(&self) -> bool {
        self.near.load(Ordering::Relaxed)
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
            tracing::info!("Kafka is back");
        }
    }

    fn lost(&self, reason: &str) {
        if self.near.swap(false, Ordering::Relaxed) {
            tracing::warn!(reason, "Kafka is away; it is tried again and again");
        }
    }
}

impl ClientContext for BrokerStatus {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka logs every attempt to connect; what matters arrives in `error`, below.
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(reason),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
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
            for partition in topic.partitions.values().filter(|it| it.consumer_lag >= 0) {
                metrics::lag(&topic.topic, partition.partition, partition.consumer_lag);
            }
        }
    }
}
