//! Tells webhooks of events: a worker for each webhook that has something to be told, so that one
//! receiver that hangs or is gone delays no other, and no notification.
//!
//! An attempt is a lease on the delivery's row, begun right before the request. A process that dies
//! between the request and its record leaves the lease to run out; then the event is told again,
//! under the same `webhook-id`: at least once. Of two processes, each begins what the other has
//! not.
//! The first attempt at an event waits for the first attempts at earlier events of the same order,
//! whichever process makes them; what has failed once is overtaken.

pub mod cloud_event;
mod sweep;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chassis::clock;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    carriers::signed::SigningClient,
    metrics,
    store::webhooks::{self, WebhookSurvey},
    webhooks::worker::Worker,
};

/// How often the webhooks are looked at when no batch says that there may be something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks, however many batches there are.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long an attempt may take: a receiver that has not answered by then has not taken the event.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// How long attempts under way may take once the process is asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Webhooks of a kind that the health names.
const NAMED_MAX: usize = 10;
/// For how long an event waits without anybody being told of it.
const WAITING_MAX: time::Duration = time::Duration::HOUR;

/// What the workers share.
#[derive(Clone)]
pub struct WebhookRoom {
    /// Connections of their own: a crowd of webhooks takes none from requests or notifications.
    pub pool: PgPool,
    pub client: SigningClient,
    /// Changes when there may be something to tell.
    pub fresh: watch::Receiver<()>,
    /// Attempts at once for each webhook.
    pub attempts_at_once: usize,
    /// How long an attempt may take: [`ATTEMPT_MAX`] at most.
    pub attempt_timeout: Duration,
    pub standing: WebhookStanding,
}

/// Which webhooks were disabled by themselves, or are told things late: for the health.
#[derive(Clone, Debug, Default)]
pub struct WebhookStanding(Arc<Mutex<Option<String>>>);

impl WebhookStanding {
    fn set(&self, survey: &WebhookSurvey, now: OffsetDateTime) {
        let disabled = survey.disabled.iter().map(|(id, why)| format!("{id} ({why})"));
        let late = survey.waiting.iter().filter(|(_, since)| now - *since > WAITING_MAX);
        let late = late.map(|(id, _)| id.to_string());
        let parts = [named("disabled", disabled), named("an hour late", late)];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let told = (!parts.is_empty()).then(|| parts.join("; "));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// The webhooks that are told nothing any more, and those for which an event has waited for an
    /// hour, in one line; `None` without any.
    pub fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Webhooks that stand in one way, the first of them by name.
fn named(how: &str, which: impl Iterator<Item = String>) -> Option<String> {
    let which: Vec<_> = which.collect();
    let first = which.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = which.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!which.is_empty()).then(|| format!("{how}: {first}{more}"))
}

/// Tells webhooks of events until it is asked to stop, and ends the attempts under way.
pub async fn tell(room: WebhookRoom, stop: CancellationToken) -> anyhow::Result<()> {
    let pool = room.pool.clone();
    // Beside it: what is swept may be a lot, or held by somebody.
    tokio::join!(work(room, stop.clone()), sweep::run(pool, stop));
    Ok(())
}

async fn work(mut room: WebhookRoom, stop: CancellationToken) {
    let (mut workers, mut at_work) = (JoinSet::new(), HashMap::new());
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut survey, mut is_blind) = (WebhookSurvey::default(), false);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = clock.tick() => {}
            // A webhook that was just made is found by the clock, so without any a batch costs
            // nothing here.
            Ok(()) = room.fresh.changed(), if survey.enabled > 0 => sleep(LOOK_PAUSE).await,
            Some(ended) = workers.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(panicked) => panicked.id(),
                };
                at_work.retain(|_, worker| *worker != id);
                continue;
            }
        }
        survey = look(&room, survey, &mut is_blind).await;
        for webhook in &survey.busy {
            at_work.entry(*webhook).or_insert_with(|| {
                let worker = Worker::new(*webhook, room.clone());
                workers.spawn(worker.run(stop.clone())).id()
            });
        }
    }
    let ended = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::info!("deliveries to webhooks are left to whoever looks next");
    }
}

/// Looks at all webhooks; what was seen before holds if that fails, without work. Of failures in a
/// row the first is logged.
async fn look(room: &WebhookRoom, before: WebhookSurvey, is_blind: &mut bool) -> WebhookSurvey {
    let looked = async {
        let mut db = room.pool.acquire().await?;
        webhooks::survey(&mut db).await
    };
    match looked.await {
        Ok(survey) => {
            *is_blind = false;
            let now = clock::now();
            let oldest = survey.waiting.iter().map(|(_, since)| now - *since).max();
            let oldest = oldest.unwrap_or_default().max(time::Duration::ZERO);
            metrics::webhooks(survey.enabled, survey.disabled.len(), oldest);
            room.standing.set(&survey, now);
            survey
        }
        Err(error) => {
            if !std::mem::replace(is_blind, true) {
                unlooked(&error);
            }
            WebhookSurvey { busy: Vec::new(), ..before }
        }
    }
}

fn unlooked(error: &sqlx::Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "could not look at the webhooks");
}
