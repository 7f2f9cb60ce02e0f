//! Whether Kafka is at hand: told once when it goes and once when it is back, not for each attempt to reach it.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::metrics;

/// Near until shown otherwise.
pub(crate) struct Nearness(AtomicBool);

impl Default for Nearness {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Nearness {
    pub(crate) fn is_near(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A broker has answered.
    pub(crate) fn found(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::info!("Kafka is back");
        }
    }

    fn lost(&self, reason: &str) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!(reason, "Kafka is away; it is tried again and again");
        }
    }
}

impl ClientContext for Nearness {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka tells of every attempt; what matters comes as an error, below.
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(reason),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                tracing::debug!(%error, reason, "a broker is away");
            }
            _ => tracing::warn!(%error, reason, "librdkafka"),
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
