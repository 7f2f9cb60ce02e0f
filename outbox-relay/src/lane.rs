//! One database's life with the relay: found, led, shipped, lost and found again.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgDatabaseError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Database, Options},
    envelope::Envelope,
    leader::{Leader, NoLeader, event_types, identity},
    metrics::Meters,
    publish::{Generation, Publisher},
    ship::Ship,
    status::{State, Status},
    topics::Topics,
};

/// First and longest pause before a lost database is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often what is not there yet is looked for: topics, identity, a stopped lane's cure.
const LOOK: Duration = Duration::from_secs(1);

/// What ends a stretch of shipping.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Asked to.
    Stop,
    /// The producer failed: again from the last tick, with the next one.
    Producer,
    /// The session is lost, and the cursor with it.
    Session(sqlx::Error),
    /// A row's type is not in `event_types`, as they were read.
    UnknownType(i16),
    /// Only a person can help.
    Refused(String),
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Session(error)
    }
}

impl From<NoLeader> for Halt {
    fn from(error: NoLeader) -> Self {
        match error {
            NoLeader::Refused(why) => Self::Refused(why),
            NoLeader::Session(error) => Self::Session(error),
        }
    }
}

/// What serves one database.
pub(crate) struct Lane {
    pub(crate) database: Database,
    pub(crate) options: Arc<Options>,
    pub(crate) publisher: Publisher,
    pub(crate) status: Status,
    pub(crate) wake: Arc<Notify>,
    pub(crate) meters: Meters,
    pub(crate) topics: Arc<Topics>,
}

impl Lane {
    /// Serves the database until it is asked to stop; nothing else ends this.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = PAUSE.0;
        loop {
            let halt = self.serve(&stop, &mut pause).await;
            match halt {
                Halt::Stop => break,
                Halt::Session(error) => self.status.set(State::Waiting(reason(&error))),
                Halt::Refused(why) => {
                    self.status.set(State::Stopped(why));
                    pause = PAUSE.1;
                }
                Halt::Producer | Halt::UnknownType(_) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
        self.status.set(State::Waiting("asked to stop".to_owned()));
        Ok(())
    }

    /// From the search for a session to its end.
    async fn serve(&mut self, stop: &CancellationToken, pause: &mut Duration) -> Halt {
        let taken = Leader::take(&self.database, || self.status.set(State::StandsBy));
        let (mut leader, _) = match stop.run_until_cancelled(taken).await {
            None => return Halt::Stop,
            Some(Ok(taken)) => taken,
            Some(Err(error)) => return error.into(),
        };
        *pause = PAUSE.0;
        let halt = self.lead(&mut leader, stop).await;
        leader.close().await;
        halt
    }

    /// Ships, each time from the last tick, as long as the session lasts.
    async fn lead(&mut self, leader: &mut Leader, stop: &CancellationToken) -> Halt {
        let mut unknown = None;
        loop {
            let prepared = tokio::select! {
                prepared = self.prepare(leader, unknown) => prepared,
                () = stop.cancelled() => Err(Halt::Stop),
            };
            let (generation, envelope) = match prepared {
                Ok(prepared) => prepared,
                Err(halt) => return halt,
            };
            let cursor = match leader.resume().await {
                Ok(cursor) => cursor,
                Err(error) => return error.into(),
            };
            self.status.set(State::Leads);
            let stretch = self.topics.stretch(stop);
            let ship = Ship {
                leader,
                generation,
                envelope,
                options: &self.options,
                meters: &self.meters,
                wake: &self.wake,
                stop: &stretch,
            };
            match ship.run(cursor).await {
                // A topic was made anew.
                Halt::Stop if !stop.is_cancelled() => unknown = None,
                Halt::Producer => unknown = None,
                Halt::UnknownType(number) => unknown = Some(number),
                halt => return halt,
            }
        }
    }

    /// Waits for all that shipping needs: identity, event types, a producer, topics.
    async fn prepare(
        &mut self,
        leader: &mut Leader,
        unknown: Option<i16>,
    ) -> Result<(Arc<Generation>, Envelope), Halt> {
        loop {
            let missing = match self.envelope(leader, unknown).await? {
                Err(missing) => missing,
                Ok(envelope) => {
                    let generation = tokio::time::timeout(LOOK, self.publisher.generation()).await;
                    match generation {
                        Ok(None) => return Err(Halt::Stop),
                        Err(_) => State::Waiting("no producer".to_owned()),
                        Ok(Some(generation)) => {
                            let topics = generation.missing(envelope.topics()).await;
                            match topics {
                                Ok(none) if none.is_empty() => {
                                    match self.topics.look(&mut leader.session).await? {
                                        None => return Ok((generation, envelope)),
                                        Some(state) => state,
                                    }
                                }
                                Ok(some) => {
                                    State::Waiting(format!("no topic {} yet", some.join(", ")))
                                }
                                Err(error) => {
                                    State::Waiting(format!("Kafka does not answer: {error}"))
                                }
                            }
                        }
                    }
                }
            };
            self.status.set(missing);
            tokio::time::sleep(LOOK).await;
            leader.ping().await?;
        }
    }

    /// What makes messages of rows, or what it still lacks.
    async fn envelope(
        &self,
        leader: &mut Leader,
        unknown: Option<i16>,
    ) -> sqlx::Result<Result<Envelope, State>> {
        let Some(identity) = identity(&mut leader.session).await? else {
            return Ok(Err(State::Waiting("its service has not started yet".to_owned())));
        };
        let types = event_types(&mut leader.session).await?;
        if let Some(number) = unknown.filter(|number| types.iter().all(|t| t.number != *number)) {
            let why = format!(
                "an event of type {number} waits, which is not in event_types: nothing is skipped"
            );
            return Ok(Err(State::Stopped(why)));
        }
        Ok(Ok(Envelope::new(&identity, &types)))
    }
}

/// What a lost or missing database lacks, in words.
fn reason(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
    match code.map(PgDatabaseError::code) {
        Some("3D000") => "the database is not there yet".to_owned(),
        Some("42P01") => "its migrations have not run yet".to_owned(),
        _ => format!("the session is lost: {error}"),
    }
}
