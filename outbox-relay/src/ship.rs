//! Shipping: polls and walks go into the producer, acknowledged cursors become ticks.
//!
//! Reading runs ahead of Kafka: each poll starts from the snapshot of the one before, whether its
//! rows are acknowledged or not, as long as there is room in flight. What was read is a queue of
//! marks; the cursor that may become a tick is that of the last mark before which all are done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Options,
    envelope::Envelope,
    lane::Halt,
    leader::{Cursor, Leader},
    metrics::Meters,
    poll,
    progress::{Progress, Sending, micros},
    publish::{Generation, Way},
    retire, walk,
};

/// A poll that finds more than this is followed by the next one at once; more than a pace collects.
const BUSY: u32 = 1_000;

/// Up to this rate of events a second over all lanes, nobody waits.
const UNPACED: u64 = 6_000;
/// A millisecond more for so many events a second more.
const STEP: u64 = 200;
/// At 14,000 events a second: about twelve events a request to one of four topics' partitions.
const PACE_MAX: u64 = 40;

/// While it waits for Kafka, the session is shown to be alive this often.
const PING: Duration = Duration::from_secs(1);

/// How long what is in flight may take when the lane stops.
const FINISH: Duration = Duration::from_secs(5);

/// What a lane waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Room in flight.
    Room,
    /// The acknowledgement of all that is in flight.
    Acknowledged,
}

/// The least pause between polls at a rate of events over all lanes. Kafka's work is per request:
/// on a machine that is busy, larger batches are worth more than milliseconds.
fn pace(rate: u64) -> Duration {
    Duration::from_millis((rate.saturating_sub(UNPACED) / STEP).min(PACE_MAX))
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
            self.wait(now, Until::Room).await?;
            if now.tidied_at.elapsed() >= self.options.tidy_every {
                self.tidy(now).await?;
            }
            let started = Instant::now();
            let found = self.poll(now).await?;
            if found > BUSY {
                continue;
            }
            let pace = pace(self.generation.rate());
            let pause = now.pause(found, self.options).max(pace);
            let pause = pause.saturating_sub(started.elapsed());
            let pause = now.until_tick(self.options).map_or(pause, |due| pause.min(due));
            if pause.is_zero() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified(), if pace.is_zero() => {}
                () = self.generation.broken() => return Err(Halt::Producer),
                () = self.stop.cancelled() => return Err(Halt::Stop),
            }
        }
    }

    /// One poll; a flood becomes a walk. Returns how many rows went out.
    async fn poll(&mut self, now: &mut Progress) -> Result<u32, Halt> {
        let mut sending = Sending::new(Way::Poll, &self.generation, &self.envelope, &now.done);
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
        self.wait(now, Until::Acknowledged).await?;
        let from = Arc::clone(&now.read.snap);
        let mut after = match after {
            Some(after) => Some(after),
            None => walk::start(&mut self.leader.session, &now.walk, &from).await?,
        };
        while let Some(position) = after {
            self.wait(now, Until::Room).await?;
            let mut sending = Sending::new(Way::Walk, &self.generation, &self.envelope, &now.done);
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
        self.wait(now, Until::Acknowledged).await?;
        now.found_at = Instant::now();
        Ok(())
    }

    /// Waits for Kafka, ticking meanwhile. It may be away for hours.
    async fn wait(&mut self, now: &mut Progress, until: Until) -> Result<(), Halt> {
        loop {
            if self.stop.is_cancelled() {
                return Err(Halt::Stop);
            }
            now.settle(&self.generation, self.meters)?;
            self.tick_if_due(now).await?;
            let has_room = until == Until::Room && self.generation.has_room();
            if now.marks.is_empty() || has_room {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_keep_a_distance_once_there_is_much_to_ship() {
        for (rate, milliseconds) in
            [(0, 0), (6_199, 0), (6_200, 1), (10_000, 20), (14_000, 40), (90_000, 40)]
        {
            assert_eq!(pace(rate), Duration::from_millis(milliseconds), "{rate} events/s");
        }
    }
}
