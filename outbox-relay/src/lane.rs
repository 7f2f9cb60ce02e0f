//! A lane: the worker that serves one database, from its first session to the process's end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::postgres::PgDatabaseError;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Database, RelayOptions},
    envelope::Envelope,
    leader::{Leader, event_types, identity},
    metrics::Meters,
    producer::Producer,
    publish::PublishLoop,
    status::{LanePhase, LaneStatus},
    stop_reason::StopReason,
    topics::Topics,
    traffic::Traffic,
    wake::WakeUps,
};

/// First and longest pause before a lost database is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often a lane looks for what it waits for: topics, the identity, the end of a pause.
const LOOK: Duration = Duration::from_secs(1);

/// Pauses before a message that Kafka refused is published again. The first retry comes at once,
/// because Kafka may have lost its memory of a producer; the next after 5 s, doubled up to a
/// minute, because then a person is needed.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// The worker that publishes one database's events.
pub(crate) struct Lane {
    pub(crate) database: Database,
    pub(crate) options: Arc<RelayOptions>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) status: LaneStatus,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) meters: Meters,
    pub(crate) topics: Arc<Topics>,
}

impl Lane {
    /// Serves the database until it is asked to stop; nothing else ends the loop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = PAUSE.0;
        loop {
            match self.serve(&stop, &mut pause).await {
                StopReason::Stop => break,
                StopReason::Session(error) => self.status.set(LanePhase::Waiting(reason(&error))),
                StopReason::Refused(why) => {
                    self.status.set(LanePhase::Stopped(why));
                    pause = PAUSE.1;
                }
                StopReason::Paused | StopReason::Kafka(_) | StopReason::UnknownType(_) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
        self.status.set(LanePhase::Waiting("asked to stop".to_owned()));
        Ok(())
    }

    /// Serves the database with one session: becomes its leader, publishes, and closes the session.
    async fn serve(&mut self, stop: &CancellationToken, pause: &mut Duration) -> StopReason {
        let taken = Leader::take(&self.database, || self.status.set(LanePhase::StandsBy));
        let mut leader = match stop.run_until_cancelled(taken).await {
            None => return StopReason::Stop,
            Some(Ok(taken)) => taken,
            Some(Err(error)) => return error.into(),
        };
        *pause = PAUSE.0;
        self.topics.acknowledged.lead(leader.epoch);
        self.status.set_leads(true);
        #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
        self.meters.epoch.set(leader.epoch as f64);
        let reason = self.lead(&mut leader, stop).await;
        self.status.set_leads(false);
        leader.close().await;
        reason
    }

    /// Publishes in stretches, each from the last tick, as long as the session lasts.
    async fn lead(&mut self, leader: &mut Leader, stop: &CancellationToken) -> StopReason {
        let mut unknown = None;
        let mut refusals = 0;
        loop {
            let reason = self.stretch(leader, unknown, &mut refusals, stop).await;
            unknown = match &reason {
                StopReason::UnknownType(number) => Some(*number),
                _ => None,
            };
            match reason {
                StopReason::Paused | StopReason::UnknownType(_) => {}
                // A topic was made anew (`topics`): only this stretch was told to end, not the
                // process.
                StopReason::Stop if !stop.is_cancelled() => {}
                StopReason::Kafka(why) => {
                    let pause = pause_after(refusals);
                    refusals = refusals.saturating_add(1);
                    self.meters.restarts.increment(1);
                    self.status.set(LanePhase::Stopped(format!("Kafka refuses it: {why}")));
                    if let Err(reason) = sit_out(leader, pause, stop).await {
                        return reason;
                    }
                }
                reason => return reason,
            }
        }
    }

    /// One stretch of publishing, with a producer of its own.
    async fn stretch(
        &mut self,
        leader: &mut Leader,
        unknown: Option<i16>,
        refusals: &mut u32,
        stop: &CancellationToken,
    ) -> StopReason {
        let prepared = tokio::select! {
            prepared = self.prepare(leader, unknown) => prepared,
            () = stop.cancelled() => Err(StopReason::Stop),
        };
        let (mut producer, envelope) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return reason,
        };
        let reason = match leader.resume().await {
            Err(error) => error.into(),
            Ok(cursor) => {
                // After a refusal the lane counts as stopped until Kafka acknowledges something.
                if *refusals == 0 {
                    self.status.set(LanePhase::Leads);
                }
                let stretch = self.topics.stretch(stop);
                let publish = PublishLoop {
                    leader,
                    producer: &mut producer,
                    envelope,
                    options: &self.options,
                    meters: &self.meters,
                    status: &self.status,
                    refusals,
                    wake_ups: &self.wake_ups,
                    stop: &stretch,
                };
                publish.run(cursor).await
            }
        };
        producer.close().await;
        reason
    }

    /// Waits for all that publishing needs: no pause, the identity, event types, a producer,
    /// topics.
    async fn prepare(
        &self,
        leader: &mut Leader,
        unknown: Option<i16>,
    ) -> Result<(Producer, Envelope), StopReason> {
        let mut producer = None;
        loop {
            let missing = match leader.pause().await? {
                Some(reason) => LanePhase::Paused(reason),
                None => match self.envelope(leader, unknown).await? {
                    Err(missing) => missing,
                    Ok(envelope) => match self.producer(&mut producer, &envelope).await {
                        Err(missing) => missing,
                        Ok(sees_all) => match self.topics.look(&mut leader.session).await? {
                            None => return Ok((sees_all, envelope)),
                            Some(anew) => {
                                producer = Some(sees_all);
                                anew
                            }
                        },
                    },
                },
            };
            self.status.set(missing);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A producer that sees all topics, or what it lacks. One that lacks a topic is kept for the
    /// next look.
    async fn producer(
        &self,
        made: &mut Option<Producer>,
        envelope: &Envelope,
    ) -> Result<Producer, LanePhase> {
        let mut producer = if let Some(producer) = made.take() {
            producer
        } else {
            let ends = Arc::clone(&self.topics.acknowledged);
            Producer::create(&self.options, &self.traffic, ends)
                .map_err(|error| LanePhase::Stopped(format!("no producer can be made: {error}")))?
        };
        let missing = match producer.find_topics(&envelope.topics()).await {
            Ok(none) if none.is_empty() => return Ok(producer),
            Ok(some) => LanePhase::Waiting(format!("no topic {} yet", some.join(", "))),
            Err(error) => {
                let away = producer.away();
                LanePhase::Waiting(format!("Kafka does not answer: {error}: {away}"))
            }
        };
        *made = Some(producer);
        Err(missing)
    }

    /// The envelope that makes messages of rows, or what it still lacks.
    async fn envelope(
        &self,
        leader: &mut Leader,
        unknown: Option<i16>,
    ) -> sqlx::Result<Result<Envelope, LanePhase>> {
        let Some(identity) = identity(&mut leader.session).await? else {
            return Ok(Err(LanePhase::Waiting("its service has not started yet".to_owned())));
        };
        let types = event_types(&mut leader.session).await?;
        if let Some(number) = unknown.filter(|number| types.iter().all(|t| t.number != *number)) {
            let why = format!(
                "an event of type {number} waits, which is not in event_types: nothing is skipped"
            );
            return Ok(Err(LanePhase::Stopped(why)));
        }
        Ok(Ok(Envelope::new(&identity, &types)))
    }
}

/// How long to wait before the next stretch, after so many refusals in a row.
fn pause_after(refusals: u32) -> Duration {
    match refusals {
        0 => PAUSE.0,
        again => REFUSED.0.saturating_mul(1 << (again - 1).min(8)).min(REFUSED.1),
    }
}

/// Keeps the session for the length of a pause without publishing.
async fn sit_out(
    leader: &mut Leader,
    pause: Duration,
    stop: &CancellationToken,
) -> Result<(), StopReason> {
    let until = Instant::now() + pause;
    while !until.saturating_duration_since(Instant::now()).is_zero() {
        let left = until.saturating_duration_since(Instant::now()).min(LOOK);
        if stop.run_until_cancelled(tokio::time::sleep(left)).await.is_none() {
            return Err(StopReason::Stop);
        }
        // Once an operator has paused the lane it need not wait: it tries again when it is resumed.
        if leader.pause().await?.is_some() {
            break;
        }
    }
    Ok(())
}

/// Why a database cannot be served now, in words.
fn reason(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
    match code.map(PgDatabaseError::code) {
        Some("3D000") => "the database is not there yet".to_owned(),
        Some("42P01") => "its migrations have not run yet".to_owned(),
        _ => format!("the session is lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_and_again_is_tried_ever_more_rarely() {
        let pauses = (0..7).map(|refusals| pause_after(refusals).as_millis());

        assert_eq!(
            pauses.collect::<Vec<_>>(),
            [100, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000]
        );
        assert_eq!(pause_after(u32::MAX), REFUSED.1);
    }
}
