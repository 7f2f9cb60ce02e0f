//! Shipping: polls and walks go into the producer, acknowledged cursors become ticks.
//!
//! Reading runs ahead of Kafka: each poll starts from the snapshot of the one before, whether its
//! rows are acknowledged or not, as long as there is room in flight. What was read is a queue of
//! marks; the cursor that may become a tick is that of the last mark before which all are done.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Options,
    envelope::Envelope,
    lane::Halt,
    leader::{Bounds, Cursor, Leader},
    metrics::Meters,
    poll::{self, Row},
    publish::{Batch, Generation, Receipt},
    retire, walk,
};

/// A poll that finds more than this is followed by the next one at once.
const BUSY: u32 = 500;

/// After this many empty polls the lane is no longer hot, after `WARM_FOR` no longer warm.
const HOT_POLLS: u32 = 10;
const WARM: Duration = Duration::from_millis(5);
const WARM_FOR: Duration = Duration::from_secs(2);

/// While it waits for Kafka, the session is shown to be alive this often.
const PING: Duration = Duration::from_secs(1);

/// How long what is in flight may take when the lane stops.
const FINISH: Duration = Duration::from_secs(5);

/// What was read, not yet acknowledged.
struct Mark {
    receipt: Receipt,
    /// Where the lane is once this is acknowledged.
    cursor: Cursor,
    rows: u32,
    read_at: Instant,
    /// How old the oldest row of a poll was when it was read.
    age: Option<Duration>,
}

/// One stretch of shipping: from a tick, with one producer, until something ends it.
pub(crate) struct Ship<'a> {
    pub(crate) leader: &'a mut Leader,
    pub(crate) generation: Arc<Generation>,
    pub(crate) envelope: Envelope,
    pub(crate) options: &'a Options,
    pub(crate) meters: &'a Meters,
    /// Notified by services' notifications.
    pub(crate) wake: &'a Notify,
    pub(crate) stop: &'a CancellationToken,
}

/// How far reading and acknowledgement have come.
struct Progress {
    bounds: Bounds,
    poll: Arc<str>,
    walk: walk::Texts,
    marks: VecDeque<Mark>,
    /// Where the next poll starts.
    read: Cursor,
    acknowledged: Cursor,
    /// Whether rows were acknowledged since the last tick.
    moved: bool,
    ticked_at: Instant,
    tidied_at: Instant,
    /// Notified when a batch is done.
    done: Arc<Notify>,
    empty_polls: u32,
    found_at: Instant,
    last_value: i64,
}

impl Ship<'_> {
    /// Ships from `cursor` until something ends it; what is in flight by then is acknowledged and
    /// ticked if that can be had.
    pub(crate) async fn run(mut self, cursor: Cursor) -> Halt {
        let mut progress = match self.leader.bounds().await {
            Ok(bounds) => Progress::new(bounds, cursor),
            Err(error) => return error.into(),
        };
        let halt = match self.ship(&mut progress).await {
            Ok(never) => match never {},
            Err(halt) => halt,
        };
        if matches!(halt, Halt::Stop | Halt::UnknownType(_) | Halt::Refused(_)) {
            match tokio::time::timeout(FINISH, self.finish(&mut progress)).await {
                Ok(Err(error)) => tracing::warn!("could not write a last tick: {error:?}"),
                Ok(Ok(())) => {}
                Err(_) => tracing::info!("stopped before Kafka acknowledged what is in flight"),
            }
        }
        halt
    }

    async fn ship(&mut self, now: &mut Progress) -> Result<std::convert::Infallible, Halt> {
        if let Some((to, after)) = now.read.walk.clone() {
            self.walk(now, to, Some(after)).await?;
        }
        loop {
            self.make_room(now).await?;
            if now.tidied_at.elapsed() >= self.options.tidy_every {
                self.tidy(now).await?;
            }
            let started = Instant::now();
            let found = self.poll(now).await?;
            if found > BUSY {
                continue;
            }
            let pause = now.pause(found, self.options).saturating_sub(started.elapsed());
            let pause = now.until_tick(self.options).map_or(pause, |due| pause.min(due));
            if pause.is_zero() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = self.generation.broken() => return Err(Halt::Producer),
                () = self.stop.cancelled() => return Err(Halt::Stop),
            }
        }
    }

    /// One poll; a flood becomes a walk. Returns how many rows went out.
    async fn poll(&mut self, now: &mut Progress) -> Result<u32, Halt> {
        let mut sending = Sending::new(&self.generation, &self.envelope, &now.done);
        let session = &mut self.leader.session;
        let head =
            poll::poll(session, &now.poll, &now.bounds, &now.read.snap, |row| sending.send(row));
        let head = head.await?;
        now.last_value = head.last_value;
        if head.is_beyond {
            now.set_bounds(self.leader.bounds().await?);
            return Ok(BUSY + 1);
        }
        if head.is_flood {
            self.walk(now, head.snapshot, None).await?;
            return Ok(BUSY + 1);
        }
        now.read.snap = head.snapshot;
        if sending.rows == 0 {
            now.nothing_new();
            return Ok(0);
        }
        now.read.shipped_pos = now.read.shipped_pos.max(sending.last_pos + 1);
        let rows = sending.rows;
        let age = micros(head.clock - sending.oldest);
        now.mark(sending, Some(age));
        now.found_at = Instant::now();
        Ok(rows)
    }

    /// Ships the difference between the read cursor and `to` in windows, from the beginning or
    /// after a position.
    async fn walk(
        &mut self,
        now: &mut Progress,
        to: Arc<str>,
        after: Option<i64>,
    ) -> Result<(), Halt> {
        self.meters.walks.increment(1);
        let from = Arc::clone(&now.read.snap);
        let mut after = match after {
            Some(after) => Some(after),
            None => walk::start(&mut self.leader.session, &now.walk, &from).await?,
        };
        while let Some(position) = after {
            self.make_room(now).await?;
            let mut sending = Sending::new(&self.generation, &self.envelope, &now.done);
            let session = &mut self.leader.session;
            let stretch = walk::Stretch { from: &from, to: &to, after: position };
            let more =
                walk::window_of(session, &now.walk, stretch, |row| sending.send(row)).await?;
            if sending.rows > 0 {
                now.read.shipped_pos = now.read.shipped_pos.max(sending.last_pos + 1);
                now.read.walk = Some((Arc::clone(&to), sending.last_pos));
                after = Some(sending.last_pos);
                now.mark(sending, None);
            }
            if !more {
                break;
            }
        }
        now.read.snap = to;
        now.read.walk = None;
        now.nothing_new();
        now.found_at = Instant::now();
        Ok(())
    }

    /// Waits until there is room in flight, ticking meanwhile. Kafka may be away for hours here.
    async fn make_room(&mut self, now: &mut Progress) -> Result<(), Halt> {
        loop {
            if self.stop.is_cancelled() {
                return Err(Halt::Stop);
            }
            now.settle(&self.generation, self.meters)?;
            self.tick_if_due(now).await?;
            if now.marks.is_empty() || self.generation.has_room() {
                return Ok(());
            }
            let pause = now.until_tick(self.options).unwrap_or(PING).min(PING);
            tokio::select! {
                () = now.done.notified() => {}
                () = self.generation.broken() => return Err(Halt::Producer),
                () = self.stop.cancelled() => return Err(Halt::Stop),
                () = tokio::time::sleep(pause) => self.leader.ping().await?,
            }
        }
    }

    async fn tick_if_due(&mut self, now: &mut Progress) -> sqlx::Result<()> {
        if now.moved && now.ticked_at.elapsed() >= self.options.tick_every {
            self.tick(now).await?;
        }
        Ok(())
    }

    async fn tick(&mut self, now: &mut Progress) -> sqlx::Result<()> {
        self.leader.tick(&now.acknowledged).await?;
        self.meters.ticks.increment(1);
        now.moved = false;
        now.ticked_at = Instant::now();
        Ok(())
    }

    /// Seals leaves and forgets old ticks.
    async fn tidy(&mut self, now: &mut Progress) -> sqlx::Result<()> {
        now.tidied_at = Instant::now();
        self.leader.forget_ticks().await?;
        let awaits = retire::note_ends(&mut self.leader.session, now.last_value).await?;
        if awaits {
            // An idle lane writes no ticks, and a leaf waits for one.
            if *now.acknowledged.snap != *self.leader.durable {
                self.tick(now).await?;
            }
            let durable = Arc::clone(&self.leader.durable);
            if retire::seal(&mut self.leader.session, &durable).await? {
                now.set_bounds(self.leader.bounds().await?);
            }
        }
        Ok(())
    }

    /// Waits for what is in flight and writes the last tick.
    async fn finish(&mut self, now: &mut Progress) -> Result<(), Halt> {
        loop {
            now.settle(&self.generation, self.meters)?;
            if now.marks.is_empty() {
                break;
            }
            tokio::select! {
                () = now.done.notified() => {}
                () = self.generation.broken() => return Err(Halt::Producer),
            }
        }
        if now.moved {
            self.tick(now).await?;
        }
        Ok(())
    }
}

impl Progress {
    fn new(bounds: Bounds, cursor: Cursor) -> Self {
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

    fn set_bounds(&mut self, bounds: Bounds) {
        self.poll = poll::text(&bounds);
        self.walk = walk::Texts::new(&bounds);
        self.bounds = bounds;
    }

    /// Remembers what was just sent, and where that leads.
    fn mark(&mut self, sending: Sending<'_>, age: Option<Duration>) {
        let (rows, receipt) = sending.close();
        let cursor = self.read.clone();
        self.marks.push_back(Mark { receipt, cursor, rows, read_at: Instant::now(), age });
    }

    /// The cursor moved and no row with it: it stands for what is in flight already.
    fn nothing_new(&mut self) {
        match self.marks.back_mut() {
            Some(mark) => mark.cursor = self.read.clone(),
            None => self.acknowledged = self.read.clone(),
        }
    }

    /// Takes what Kafka has acknowledged off the queue, in order.
    fn settle(&mut self, generation: &Generation, meters: &Meters) -> Result<(), Halt> {
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
    fn until_tick(&self, options: &Options) -> Option<Duration> {
        let waits = self.moved || !self.marks.is_empty();
        waits.then(|| options.tick_every.saturating_sub(self.ticked_at.elapsed()).max(WARM))
    }

    /// The pause from one poll's start to the next: short while events come, longer and longer
    /// when none do.
    fn pause(&mut self, found: u32, options: &Options) -> Duration {
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
struct Sending<'a> {
    generation: &'a Generation,
    envelope: &'a Envelope,
    batch: Arc<Batch>,
    receipt: Receipt,
    rows: u32,
    weight: usize,
    last_pos: i64,
    oldest: i64,
}

impl<'a> Sending<'a> {
    fn new(generation: &'a Generation, envelope: &'a Envelope, done: &Arc<Notify>) -> Self {
        let (batch, receipt) = generation.batch(done);
        Self { generation, envelope, batch, receipt, rows: 0, weight: 0, last_pos: 0, oldest: 0 }
    }

    fn send(&mut self, row: &Row<'_>) -> Result<(), Halt> {
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

    fn close(self) -> (u32, Receipt) {
        self.generation.close(&self.batch, self.weight);
        (self.rows, self.receipt)
    }
}

fn micros(age: i64) -> Duration {
    Duration::from_micros(u64::try_from(age).unwrap_or_default())
}
