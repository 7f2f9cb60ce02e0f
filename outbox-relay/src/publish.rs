//! Publishing: polls and scans go into the producer, acknowledged cursors become ticks.
//!
//! Reading runs ahead of Kafka: each poll starts from the snapshot of the one before, whether its
//! rows are acknowledged or not, as long as there is room in flight. Batches in flight are a queue
//! of marks (`progress`); the cursor that may become a tick is that of the last mark up to which
//! all are acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::{
    cadence::Trigger,
    config::RelayOptions,
    delivery::Way,
    envelope::Envelope,
    leader::{Cursor, Leader},
    metrics::Meters,
    poll::{self, Row},
    producer::Producer,
    progress::{OutgoingBatch, Progress, micros},
    retire,
    scan::{self, Scan},
    status::{LanePhase, LaneStatus},
    stop_reason::StopReason,
    wake::WakeUps,
};

/// A poll that finds more rows than this is followed by the next one at once: that many are more
/// than a pause would collect.
const BUSY: u32 = 1_000;

/// Events a second over all lanes, up to which a lane does not pause between polls.
const UNPACED: u64 = 6_000;
/// Above [`UNPACED`] the pause grows by a millisecond for each so many events a second more.
const STEP: u64 = 200;
/// Longest such pause, in milliseconds, from 14,000 events a second on: a request to one of four
/// topics' partitions then carries about twelve events.
const PACE_MAX: u64 = 40;

/// How often the session, an operator's pause and Kafka's answers are checked.
const LOOK: Duration = Duration::from_secs(1);

/// How long the acknowledgement of what is in flight is waited for when the lane stops.
const FINISH: Duration = Duration::from_secs(5);

/// What a poll has found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PollOutcome {
    Nothing,
    Some,
    /// More than one poll takes: the next one follows at once.
    More,
}

/// What a lane waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Room in flight.
    Room,
    /// The acknowledgement of all that is in flight.
    Acknowledged,
    /// The next poll, which a wake-up may bring forward.
    Poll { due: Instant, heeds_wake_ups: bool },
}

/// The shortest pause between polls at a rate of events a second over all lanes. Kafka's work is
/// per request: on a busy machine, larger batches are worth more than milliseconds.
fn pace(rate: u64) -> Duration {
    Duration::from_millis((rate.saturating_sub(UNPACED) / STEP).min(PACE_MAX))
}

/// One stretch of publishing: from a tick, with one producer, until something ends it.
pub(crate) struct PublishLoop<'a> {
    pub(crate) leader: &'a mut Leader,
    pub(crate) producer: &'a mut Producer,
    pub(crate) envelope: Envelope,
    pub(crate) options: &'a RelayOptions,
    pub(crate) meters: &'a Meters,
    pub(crate) status: &'a LaneStatus,
    /// How often in a row Kafka has refused something; zero again once it acknowledges.
    pub(crate) refusals: &'a mut u32,
    pub(crate) wake_ups: &'a WakeUps,
    pub(crate) stop: &'a CancellationToken,
}

impl PublishLoop<'_> {
    /// Publishes from `cursor` until something ends it. What is in flight by then is waited for,
    /// and ticked if Kafka acknowledges it in time.
    pub(crate) async fn run(mut self, cursor: Cursor) -> StopReason {
        let mut progress = match self.leader.bounds().await {
            Ok(bounds) => Progress::new(bounds, cursor),
            Err(error) => return error.into(),
        };
        let reason = match self.publish(&mut progress).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
        if !matches!(reason, StopReason::Session(_)) {
            match tokio::time::timeout(FINISH, self.finish(&mut progress)).await {
                Ok(Err(error)) => {
                    let (database, error) = (self.status.label(), &error as &dyn std::error::Error);
                    tracing::warn!(database, error, "could not write a last tick");
                }
                Ok(Ok(())) => {}
                Err(_) => {
                    let database = self.status.label();
                    tracing::info!(database, "stopped before Kafka acknowledged what is in flight");
                }
            }
        }
        if progress.is_sound {
            *self.refusals = 0;
        }
        reason
    }

    async fn publish(
        &mut self,
        progress: &mut Progress,
    ) -> Result<std::convert::Infallible, StopReason> {
        if let Some((to, after)) = progress.read.scan.clone() {
            self.scan(progress, to, after).await?;
        }
        let mut trigger = Trigger::More;
        loop {
            self.wait(progress, Until::Room).await?;
            if progress.tidied_at.elapsed() >= self.options.tidy_every {
                self.tidy(progress).await?;
            }
            let started = Instant::now();
            let found = self.poll(progress).await?;
            if found == PollOutcome::More {
                trigger = Trigger::More;
                progress.cadence.polled(trigger, true, started);
                continue;
            }
            progress.cadence.polled(trigger, found == PollOutcome::Some, started);
            let pace = pace(self.producer.rate());
            let can_wake = self.wake_ups.can_come();
            let pause = progress.cadence.next_poll(started, can_wake, self.options).max(pace);
            let until = Until::Poll { due: started + pause, heeds_wake_ups: pace.is_zero() };
            trigger = self.wait(progress, until).await?;
        }
    }

    /// Polls once; a difference that is too large becomes a scan.
    async fn poll(&mut self, progress: &mut Progress) -> Result<PollOutcome, StopReason> {
        let mut sending =
            OutgoingBatch::new(Way::Poll, self.producer, &self.envelope, &progress.done);
        self.meters.polls.increment(1);
        let session = &mut self.leader.session;
        let each = |row: &Row<'_>| sending.send(row);
        let head =
            match poll::poll(session, &progress.poll, &progress.bounds, &progress.read.snap, each)
                .await
            {
                Ok(head) => head,
                Err(reason) => return Err(progress.interrupt(sending, reason)),
            };
        progress.last_value = head.last_value;
        if head.is_beyond {
            progress.set_bounds(self.leader.bounds().await?);
            return Ok(PollOutcome::More);
        }
        if head.is_too_large {
            self.scan(progress, head.snapshot, 0).await?;
            return Ok(PollOutcome::More);
        }
        progress.read.snap = head.snapshot;
        if sending.rows == 0 {
            progress.nothing_new();
            return Ok(PollOutcome::Nothing);
        }
        progress.read.published_pos = progress.read.published_pos.max(sending.last_pos + 1);
        let rows = sending.rows;
        let age = micros(head.clock - sending.oldest);
        progress.mark(sending, Some(age));
        Ok(if rows > BUSY { PollOutcome::More } else { PollOutcome::Some })
    }

    /// Publishes, in windows, the difference between the read cursor and `to`, from a position on.
    async fn scan(
        &mut self,
        progress: &mut Progress,
        to: Arc<str>,
        after: i64,
    ) -> Result<(), StopReason> {
        self.meters.scans.increment(1);
        self.wait(progress, Until::Acknowledged).await?;
        self.producer
            .prepare_scan()
            .map_err(|error| StopReason::Kafka(format!("no producer can be made: {error}")))?;
        let mut scan = Scan::new(Arc::clone(&progress.read.snap), to, after);
        loop {
            self.wait(progress, Until::Room).await?;
            let session = &mut self.leader.session;
            if !scan::look_ahead(session, &progress.scan, &mut scan).await? {
                break;
            }
            let mut sending =
                OutgoingBatch::new(Way::Scan, self.producer, &self.envelope, &progress.done);
            let each = |row: &Row<'_>| sending.send(row);
            let is_full = match scan::window_of(session, &progress.scan, &scan, each).await {
                Ok(is_full) => is_full,
                Err(reason) => return Err(progress.interrupt(sending, reason)),
            };
            let (rows, last_pos) = (sending.rows, sending.last_pos);
            if rows > 0 {
                progress.read.published_pos = progress.read.published_pos.max(last_pos + 1);
                progress.read.scan = Some((Arc::clone(&scan.to), last_pos));
                progress.mark(sending, None);
            }
            if !scan.advance(rows, last_pos, is_full) {
                break;
            }
        }
        progress.read.snap = scan.to;
        progress.read.scan = None;
        progress.nothing_new();
        self.wait(progress, Until::Acknowledged).await?;
        Ok(())
    }

    /// Waits; takes acknowledgements and ticks meanwhile. Kafka may be away for hours.
    async fn wait(&mut self, progress: &mut Progress, until: Until) -> Result<Trigger, StopReason> {
        loop {
            if self.stop.is_cancelled() {
                return Err(StopReason::Stop);
            }
            self.keep_up(progress).await?;
            let (left, heeds_wake_ups) = match until {
                Until::Room | Until::Acknowledged if progress.marks.is_empty() => {
                    return Ok(Trigger::More);
                }
                Until::Room if self.producer.has_room() => return Ok(Trigger::More),
                Until::Room | Until::Acknowledged => (LOOK, false),
                Until::Poll { due, heeds_wake_ups } => {
                    (due.saturating_duration_since(Instant::now()), heeds_wake_ups)
                }
            };
            if left.is_zero() {
                tokio::task::yield_now().await;
                let has_woken = heeds_wake_ups && self.wake_ups.next().now_or_never().is_some();
                return Ok(if has_woken { Trigger::WakeUp } else { Trigger::Clock });
            }
            let pause =
                progress.until_tick(self.options).map_or(left, |due| left.min(due)).min(LOOK);
            tokio::select! {
                () = self.wake_ups.next(), if heeds_wake_ups => return Ok(Trigger::WakeUp),
                () = progress.done.notified() => {}
                () = self.producer.broken() => {}
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes acknowledgements, ticks if due, and checks every second whether all is well.
    async fn keep_up(&mut self, progress: &mut Progress) -> Result<(), StopReason> {
        self.producer.send_admitted();
        if !progress.settle(self.meters) || self.producer.is_broken() {
            return Err(StopReason::Kafka(self.producer.failure()));
        }
        self.tick_if_due(progress).await?;
        if progress.looked_at.elapsed() >= LOOK {
            progress.looked_at = Instant::now();
            if self.leader.pause().await?.is_some() {
                return Err(StopReason::Paused);
            }
            self.watch(progress).await?;
        }
        Ok(())
    }

    /// Shows in the status how Kafka takes what is published. Ends the stretch if nothing is
    /// acknowledged although Kafka answers.
    async fn watch(&mut self, progress: &mut Progress) -> Result<(), StopReason> {
        let patience = self.options.stalled_after;
        if progress.stalled_for(self.producer.acknowledged()) >= patience {
            if self.producer.is_answered().await {
                let why = format!("it answers, and has acknowledged nothing for {patience:?}");
                return Err(StopReason::Kafka(why));
            }
            progress.be_patient();
        }
        if progress.oldest_in_flight() >= patience {
            let away = self.producer.away();
            let why =
                format!("Kafka has not acknowledged an event for more than {patience:?}: {away}");
            self.status.set(LanePhase::Delayed(why));
        } else if progress.is_sound {
            *self.refusals = 0;
            self.status.set(LanePhase::Leads);
        }
        Ok(())
    }

    async fn tick_if_due(&mut self, progress: &mut Progress) -> sqlx::Result<()> {
        if progress.moved && progress.ticked_at.elapsed() >= self.options.tick_every {
            self.tick(progress).await?;
        }
        Ok(())
    }

    async fn tick(&mut self, progress: &mut Progress) -> sqlx::Result<()> {
        self.leader.tick(&progress.acknowledged).await?;
        self.meters.ticks.increment(1);
        progress.moved = false;
        progress.ticked_at = Instant::now();
        Ok(())
    }

    /// Seals leaves and deletes old ticks.
    async fn tidy(&mut self, progress: &mut Progress) -> sqlx::Result<()> {
        progress.tidied_at = Instant::now();
        self.leader.forget_ticks().await?;
        let awaits = retire::note_ends(&mut self.leader.session, progress.last_value).await?;
        if awaits {
            // An idle lane writes no ticks, but a leaf can only be sealed after one that covers it.
            if *progress.acknowledged.snap != *self.leader.durable {
                self.tick(progress).await?;
            }
            let durable = Arc::clone(&self.leader.durable);
            if retire::seal(&mut self.leader.session, &durable).await? {
                progress.set_bounds(self.leader.bounds().await?);
            }
        }
        Ok(())
    }

    /// Waits for what is in flight, up to a batch that was refused, and writes a last tick.
    async fn finish(&mut self, progress: &mut Progress) -> sqlx::Result<()> {
        while progress.settle(self.meters) && !progress.marks.is_empty() {
            self.producer.send_admitted();
            progress.done.notified().await;
        }
        if progress.moved {
            self.tick(progress).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_keep_a_distance_once_there_is_much_to_publish() {
        for (rate, milliseconds) in
            [(0, 0), (6_199, 0), (6_200, 1), (10_000, 20), (14_000, 40), (90_000, 40)]
        {
            assert_eq!(pace(rate), Duration::from_millis(milliseconds), "{rate} events/s");
        }
    }
}
