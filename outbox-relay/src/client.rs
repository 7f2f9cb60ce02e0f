//! One librdkafka producer, and the thread that takes its answers.
//!
//! rdkafka's `ThreadedProducer` would do, but for its cost while idle: each of its polls ends in a
//! spin, because the time left is rounded down to whole milliseconds (rdkafka 0.39), ten times a
//! second, a hundredth of a core for each idle lane.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    error::{KafkaError, KafkaResult},
    producer::{BaseProducer, ProducerContext},
};

/// How long one poll for answers lasts; an answer is taken as soon as it comes. Dropping the client
/// waits for the end of a poll.
const LOOK: Duration = Duration::from_millis(500);

/// A producer, and the thread that calls its callbacks.
pub(crate) struct Client<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Client<C> {
    pub(crate) fn create(config: &ClientConfig, callbacks: C) -> KafkaResult<Self> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, callbacks)?);
        let is_over = Arc::new(AtomicBool::new(false));
        let (answers, end) = (Arc::clone(&producer), Arc::clone(&is_over));
        let thread = thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    answers.poll(LOOK);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, is_over, thread: Some(thread) })
    }
}

impl<C: ProducerContext + 'static> Deref for Client<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A callback that panicked was reported by its panic; its answers are not needed any
            // more.
            drop(thread.join());
        }
    }
}
