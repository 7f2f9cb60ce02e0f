//! The consumer: counts and times what arrives.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How long nothing may come before a benchmark gives up.
const PATIENCE: Duration = Duration::from_mins(1);

struct Tally {
    count: u64,
    first: Option<Instant>,
    last: Instant,
    /// Microseconds from the INSERT to the consumer.
    latency: Histogram<u64>,
    /// Arrivals in each half second since the first.
    steps: Vec<u64>,
}

/// A consumer on a thread of its own, and what it has counted.
pub(crate) struct ReaderThread {
    seen: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ReaderThread {
    pub(crate) fn start(kafka: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "false")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "32768")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..12 {
            partitions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let seen = Arc::new(Mutex::new(Tally {
            count: 0,
            first: None,
            last: Instant::now(),
            latency: Histogram::new(3).unwrap(),
            steps: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        seen.lock().unwrap().note(&message);
                    }
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// Waits until `events` have arrived.
    pub(crate) async fn until(&self, events: u64) {
        loop {
            {
                let seen = self.seen.lock().unwrap();
                if seen.count >= events {
                    return;
                }
                let quiet = seen.last.elapsed();
                assert!(quiet < PATIENCE, "{} of {events} came", seen.count);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Events a second from the first to the last, and the time from `started` to the first.
    pub(crate) fn rate(&self, started: Instant) -> (f64, Duration) {
        let seen = self.seen.lock().unwrap();
        let first = seen.first.unwrap();
        let rate = crate::seconds_of(seen.count) / (seen.last - first).as_secs_f64();
        (rate, first - started)
    }

    /// The slowest half second between the first and the last, as a rate.
    pub(crate) fn slowest_half_second(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        let whole = seen.steps.len().saturating_sub(1).max(1);
        seen.steps[..whole].iter().min().unwrap() * 2
    }

    /// The percentiles of latency since the last call, as text.
    pub(crate) fn latencies(&self) -> String {
        let mut seen = self.seen.lock().unwrap();
        let at = |quantile: f64| {
            Duration::from_micros(seen.latency.value_at_quantile(quantile)).as_secs_f64() * 1e3
        };
        let text = format!(
            "insert to consumed p50 {:.2} ms, p95 {:.1}, p99 {:.1}, max {:.0} ({} events)",
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0),
            seen.latency.len()
        );
        seen.latency.reset();
        text
    }
}

impl Drop for ReaderThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Tally {
    fn note(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) {
        self.count += 1;
        self.last = Instant::now();
        let first = *self.first.get_or_insert(self.last);
        let step = usize::try_from((self.last - first).as_millis() / 500).unwrap();
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
        // Every tenth event is enough for percentiles, and does not slow a drain.
        if self.count.is_multiple_of(10) {
            let headers = message.headers().unwrap();
            let time = headers.iter().find(|header| header.key == "ce_time").unwrap();
            let time = std::str::from_utf8(time.value.unwrap()).unwrap();
            let said = OffsetDateTime::parse(time, &Rfc3339).unwrap();
            let age = (chassis::clock::now() - said).whole_microseconds();
            self.latency.record(u64::try_from(age).unwrap_or_default()).unwrap();
        }
    }
}
