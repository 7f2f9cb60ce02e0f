//! How far a lane has come: what it read, what is in flight, what Kafka has acknowledged.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    config::Options,
    envelope::Envelope,
    lane::Halt,
    leader::{Bounds, Cursor},
    metrics::Meters,
    poll::{self, Row},
    publish::{Batch, Generation, Receipt, Way},
    walk,
};

/// After this many empty polls the lane is no longer hot, after `WARM_FOR` no longer warm.
const HOT_POLLS: u32 = 10;
const WARM: Duration = Duration::from_millis(5);
const WARM_FOR: Duration = Duration::from_secs(2);

/// What was read, not yet acknowledged.
pub(crate) struct Mark {
    receipt: Receipt,
    /// Where the lane is once this is acknowledged.
    cursor: Cursor,
    rows: u32,
    read_at: Instant,
    /// How old the oldest row of a poll was when it was read.
    age: Option<Duration>,
}

/// How far reading and acknowledgement have come.
pub(crate) struct Progress {
    pub(crate) bounds: Bounds,
    pub(crate) poll: Arc<str>,
    pub(crate) walk: walk::Texts,
    pub(crate) marks: VecDeque<Mark>,
    /// Where the next poll starts.
    pub(crate) read: Cursor,
    pub(crate) acknowledged: Cursor,
    /// Whether rows were acknowledged since the last tick.
    pub(crate) moved: bool,
    pub(crate) ticked_at: Instant,
    pub(crate) tidied_at: Instant,
    /// Notified when a batch is done.
    pub(crate) done: Arc<Notify>,
    pub(crate) empty_polls: u32,
    pub(crate) found_at: Instant,
    pub(crate) last_value: i64,
}

impl Progress {
    pub(crate) fn new(bounds: Bounds, cursor: Cursor) -> Self {
        let long_ago = Instant::now();
        Self {
            bounds,
            poll: poll::text(&bounds),
            walk: walk::Texts::new(&bounds),
            marks: VecDeque::new(),
            read: cursor.clone(),
            acknowledged: cursor,
            moved: false,
            ticked_at: long_ago,
            tidied_at: long_ago,
            done: Arc::new(Notify::new()),
            empty_polls: 0,
            found_at: long_ago,
            last_value: 0,
        }
    }

    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.poll = poll::text(&bounds);
        self.walk = walk::Texts::new(&bounds);
        self.bounds = bounds;
    }

    /// Remembers what was just sent, and where that leads.
    pub(crate) fn mark(&mut self, sending: Sending<'_>, age: Option<Duration>) {
        let (rows, receipt) = sending.close();
        let cursor = self.read.clone();
        self.marks.push_back(Mark { receipt, cursor, rows, read_at: Instant::now(), age });
    }

    /// The cursor moved and no row with it: it stands for what is in flight already.
    pub(crate) fn nothing_new(&mut self) {
        match self.marks.back_mut() {
            Some(mark) => mark.cursor = self.read.clone(),
            None => self.acknowledged = self.read.clone(),
        }
    }

    /// Takes what Kafka has acknowledged off the queue, in order.
    pub(crate) fn settle(&mut self, generation: &Generation, meters: &Meters) -> Result<(), Halt> {
        while self.marks.front().is_some_and(|mark| mark.receipt.is_done()) {
            // A failed message is done, too, and breaks its producer before that.
            if generation.is_broken() {
                return Err(Halt::Producer);
            }
            if let Some(mark) = self.marks.pop_front() {
                meters.published.increment(u64::from(mark.rows));
                if let Some(age) = mark.age {
                    meters.lag.record(age + mark.read_at.elapsed());
                }
                self.acknowledged = mark.cursor;
                self.moved = true;
            }
        }
        Ok(())
    }

    /// How long until a tick is due, if one will be.
    pub(crate) fn until_tick(&self, options: &Options) -> Option<Duration> {
        let waits = self.moved || !self.marks.is_empty();
        waits.then(|| options.tick_every.saturating_sub(self.ticked_at.elapsed()).max(WARM))
    }

    /// The pause from one poll's start to the next: short while events come, longer and longer
    /// when none do.
    pub(crate) fn pause(&mut self, found: u32, options: &Options) -> Duration {
        self.empty_polls = if found == 0 { self.empty_polls.saturating_add(1) } else { 0 };
        if self.empty_polls < HOT_POLLS {
            options.poll_hot
        } else if self.found_at.elapsed() < WARM_FOR {
            WARM.clamp(options.poll_hot, options.poll_idle)
        } else {
            options.poll_idle
        }
    }
}

/// What a poll or a window sends.
pub(crate) struct Sending<'a> {
    pub(crate) generation: &'a Generation,
    pub(crate) envelope: &'a Envelope,
    pub(crate) batch: Arc<Batch>,
    pub(crate) receipt: Receipt,
    pub(crate) rows: u32,
    pub(crate) weight: usize,
    pub(crate) last_pos: i64,
    pub(crate) oldest: i64,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(
        way: Way,
        generation: &'a Generation,
        envelope: &'a Envelope,
        done: &Arc<Notify>,
    ) -> Self {
        let (batch, receipt) = generation.batch(way, done);
        Self { generation, envelope, batch, receipt, rows: 0, weight: 0, last_pos: 0, oldest: 0 }
    }

    pub(crate) fn send(&mut self, row: &Row<'_>) -> Result<(), Halt> {
        let kind = self.envelope.kind(row.kind).ok_or(Halt::UnknownType(row.kind))?;
        if self.generation.is_broken() {
            return Err(Halt::Producer);
        }
        let sent = self.generation.send(&self.batch, kind, row);
        self.weight += sent.map_err(|error| {
            Halt::Refused(format!("the event at position {} cannot be sent: {error}", row.pos))
        })?;
        if self.rows == 0 {
            self.oldest = row.created_at;
        }
        self.rows += 1;
        self.last_pos = row.pos;
        Ok(())
    }

    pub(crate) fn close(self) -> (u32, Receipt) {
        self.generation.close(&self.batch, self.weight);
        (self.rows, self.receipt)
    }
}

pub(crate) fn micros(age: i64) -> Duration {
    Duration::from_micros(u64::try_from(age).unwrap_or_default())
}
