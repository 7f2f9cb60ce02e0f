//! How far a lane has come: what it has read, what is in flight, what Kafka has acknowledged.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    cadence::Cadence,
    config::RelayOptions,
    delivery::{Batch, End, Receipt, Way, unsendable},
    envelope::Envelope,
    leader::Cursor,
    metrics::Meters,
    poll::Bounds,
    poll::{self, Row},
    producer::Producer,
    scan,
    spans::{self, SampledEvent},
    stop_reason::StopReason,
};

/// Pause between two looks for acknowledgements that a tick waits for.
const SETTLE: Duration = Duration::from_millis(5);

/// A batch that was read and sent, and may not be acknowledged yet.
pub(crate) struct Mark {
    pub(crate) receipt: Receipt,
    /// The cursor once the batch is acknowledged; `None` if its reading ended early.
    cursor: Option<Cursor>,
    pub(crate) rows: u32,
    sampled: Vec<SampledEvent>,
    read_at: Instant,
    /// How old the oldest row of a poll was when it was read; `None` for a scan.
    age: Option<Duration>,
}

/// How far reading and acknowledgement have come, and what is due when.
pub(crate) struct Progress {
    pub(crate) bounds: Bounds,
    pub(crate) poll: Arc<str>,
    pub(crate) scan: scan::Texts,
    pub(crate) marks: VecDeque<Mark>,
    /// The cursor from which the next poll reads.
    pub(crate) read: Cursor,
    pub(crate) acknowledged: Cursor,
    /// Whether the acknowledged cursor has moved since the last tick.
    pub(crate) moved: bool,
    pub(crate) ticked_at: Instant,
    pub(crate) tidied_at: Instant,
    /// When the session, the pause and Kafka's answers were last checked (`PublishLoop::keep_up`).
    pub(crate) looked_at: Instant,
    /// How many messages Kafka had acknowledged, and when that number last changed or nothing was
    /// in flight.
    acknowledgements: (u64, Instant),
    /// Whether Kafka takes what is published: a batch was acknowledged, or none is in flight.
    pub(crate) is_sound: bool,
    /// Notified when a batch has ended.
    pub(crate) done: Arc<Notify>,
    pub(crate) cadence: Cadence,
    pub(crate) last_value: i64,
}

impl Progress {
    pub(crate) fn new(bounds: Bounds, cursor: Cursor) -> Self {
        let now = Instant::now();
        Self {
            bounds,
            poll: poll::text(&bounds),
            scan: scan::Texts::new(&bounds),
            marks: VecDeque::new(),
            read: cursor.clone(),
            acknowledged: cursor,
            moved: false,
            ticked_at: now,
            tidied_at: now,
            looked_at: now,
            acknowledgements: (0, now),
            is_sound: false,
            done: Arc::new(Notify::new()),
            cadence: Cadence::new(now),
            last_value: 0,
        }
    }

    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.poll = poll::text(&bounds);
        self.scan = scan::Texts::new(&bounds);
        self.bounds = bounds;
    }

    /// Queues a mark for the batch that was just sent, with the cursor it leads to.
    pub(crate) fn mark(&mut self, sending: OutgoingBatch<'_>, age: Option<Duration>) {
        let cursor = Some(self.read.clone());
        self.marks.push_back(Mark { cursor, age, ..sending.close() });
    }

    /// Queues a mark without a cursor for a batch whose reading ended early: like all that is in
    /// flight, it is waited for.
    pub(crate) fn interrupt(
        &mut self,
        sending: OutgoingBatch<'_>,
        reason: StopReason,
    ) -> StopReason {
        let mark = sending.close();
        if mark.rows > 0 {
            self.marks.push_back(mark);
        }
        reason
    }

    /// Takes note of a cursor that moved without a new row: it belongs to the last batch in flight,
    /// or is acknowledged at once.
    pub(crate) fn nothing_new(&mut self) {
        if let Some(mark) = self.marks.back_mut() {
            mark.cursor = Some(self.read.clone());
        } else {
            self.acknowledged = self.read.clone();
            self.is_sound = true;
        }
    }

    /// Removes acknowledged batches from the front of the queue; false when Kafka refused the next
    /// one.
    pub(crate) fn settle(&mut self, meters: &Meters) -> bool {
        while let Some(end) = self.marks.front().and_then(|mark| mark.receipt.end()) {
            if end == End::Failed {
                return false;
            }
            if let Some(mark) = self.marks.pop_front() {
                meters.published.increment(u64::from(mark.rows));
                meters.batch.record(mark.rows);
                spans::published(&mark.sampled, mark.rows, mark.read_at);
                if let Some(age) = mark.age {
                    meters.lag.record(age + mark.read_at.elapsed());
                }
                if let Some(cursor) = mark.cursor {
                    self.acknowledged = cursor;
                    self.moved = true;
                    self.is_sound = true;
                }
            }
        }
        true
    }

    /// How long something has been in flight while nothing was acknowledged.
    pub(crate) fn stalled_for(&mut self, acknowledged: u64) -> Duration {
        if self.marks.is_empty() || self.acknowledgements.0 != acknowledged {
            self.acknowledgements = (acknowledged, Instant::now());
        }
        self.acknowledgements.1.elapsed()
    }

    /// Starts the time of `stalled_for` anew.
    pub(crate) fn be_patient(&mut self) {
        self.acknowledgements.1 = Instant::now();
    }

    /// How long the oldest batch in flight has been there.
    pub(crate) fn oldest_in_flight(&self) -> Duration {
        self.marks.front().map_or(Duration::ZERO, |mark| mark.read_at.elapsed())
    }

    /// How long until a tick is due; `None` if nothing has moved and nothing is in flight.
    pub(crate) fn until_tick(&self, options: &RelayOptions) -> Option<Duration> {
        let waits = self.moved || !self.marks.is_empty();
        waits.then(|| options.tick_every.saturating_sub(self.ticked_at.elapsed()).max(SETTLE))
    }
}

/// The batch that a poll or a window sends, while it is read.
pub(crate) struct OutgoingBatch<'a> {
    pub(crate) producer: &'a Producer,
    pub(crate) envelope: &'a Envelope,
    pub(crate) batch: Arc<Batch>,
    pub(crate) receipt: Receipt,
    pub(crate) rows: u32,
    sampled: Vec<SampledEvent>,
    pub(crate) weight: usize,
    pub(crate) last_pos: i64,
    pub(crate) oldest: i64,
}

impl<'a> OutgoingBatch<'a> {
    pub(crate) fn new(
        way: Way,
        producer: &'a Producer,
        envelope: &'a Envelope,
        done: &Arc<Notify>,
    ) -> Self {
        let (batch, receipt) = producer.batch(way, done);
        Self {
            producer,
            envelope,
            batch,
            receipt,
            rows: 0,
            sampled: Vec::new(),
            weight: 0,
            last_pos: 0,
            oldest: 0,
        }
    }

    pub(crate) fn send(&mut self, row: &Row<'_>) -> Result<(), StopReason> {
        let kind = self.envelope.kind(row.kind).ok_or(StopReason::UnknownType(row.kind))?;
        if self.producer.is_broken() {
            return Err(StopReason::Kafka(self.producer.failure()));
        }
        let sent = self.producer.send(&self.batch, kind, row);
        self.weight +=
            sent.map_err(|error| StopReason::Kafka(format!("{}: {error}", unsendable(row.pos))))?;
        if self.rows == 0 {
            self.oldest = row.created_at;
        }
        self.rows += 1;
        self.sampled.extend(SampledEvent::of(row, &kind.topic));
        self.last_pos = row.pos;
        Ok(())
    }

    /// All of it is sent: what is to be remembered until Kafka has answered.
    pub(crate) fn close(self) -> Mark {
        self.batch.close(self.weight);
        Mark {
            receipt: self.receipt,
            cursor: None,
            rows: self.rows,
            sampled: self.sampled,
            read_at: Instant::now(),
            age: None,
        }
    }
}

pub(crate) fn micros(age: i64) -> Duration {
    Duration::from_micros(u64::try_from(age).unwrap_or_default())
}
