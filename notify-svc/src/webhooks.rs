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
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::WebhookId;
use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    carriers::signed::SigningClient,
    metrics,
    store::{
        webhook_deliveries::{self, EXPIRED_AT_ONCE},
        webhooks::{self, WebhookSurvey},
    },
    webhooks::worker::Worker,
};

/// How often the webhooks are looked at when no batch says that there may be something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks, however many batches there are.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How often deliveries that are old enough are removed.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// How long an attempt may take: a receiver that has not answered by then has not taken the event.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// How long attempts under way may take once the process is asked to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Disabled webhooks that the health names.
const NAMED_MAX: usize = 10;

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

/// Which webhooks were disabled by themselves, for the health.
#[derive(Clone, Debug, Default)]
pub struct WebhookStanding(Arc<Mutex<Vec<(WebhookId, String)>>>);

impl WebhookStanding {
    fn set(&self, disabled: Vec<(WebhookId, String)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = disabled;
    }

    /// The webhooks that are told nothing any more, in one line; `None` without any.
    pub fn told(&self) -> Option<String> {
        let disabled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named: Vec<_> =
            disabled.iter().take(NAMED_MAX).map(|(id, why)| format!("{id} ({why})")).collect();
        let more = disabled.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!named.is_empty()).then(|| format!("disabled: {}{more}", named.join(", ")))
    }
}

/// Tells webhooks of events until it is asked to stop, and ends the attempts under way.
pub async fn tell(mut room: WebhookRoom, stop: CancellationToken) -> anyhow::Result<()> {
    let (mut workers, mut at_work) = (JoinSet::new(), HashMap::new());
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut survey, mut swept_at) = (WebhookSurvey::default(), None::<Instant>);
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
        survey = look(&room, survey).await;
        for webhook in &survey.busy {
            at_work.entry(*webhook).or_insert_with(|| {
                let worker = Worker::new(*webhook, room.clone());
                workers.spawn(worker.run(stop.clone())).id()
            });
        }
        if swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept_at = Some(Instant::now());
            sweep(&room.pool, &survey).await;
        }
    }
    let ended = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::info!("deliveries to webhooks are left to whoever looks next");
    }
    Ok(())
}

/// Looks at all webhooks; what was seen before holds if that fails, without work.
async fn look(room: &WebhookRoom, before: WebhookSurvey) -> WebhookSurvey {
    let looked = async {
        let mut db = room.pool.acquire().await?;
        webhooks::survey(&mut db).await
    };
    match looked.await {
        Ok(mut survey) => {
            metrics::webhooks(survey.enabled, survey.disabled.len());
            room.standing.set(std::mem::take(&mut survey.disabled));
            survey
        }
        Err(error) => {
            unlooked(&error);
            WebhookSurvey { busy: Vec::new(), ..before }
        }
    }
}

/// Removes deliveries that ended long ago, and deleted webhooks with all of theirs.
async fn sweep(pool: &PgPool, survey: &WebhookSurvey) {
    let swept = async {
        let mut db = pool.acquire().await?;
        for webhook in &survey.known {
            while webhook_deliveries::expire(&mut db, *webhook).await? == EXPIRED_AT_ONCE {}
        }
        for webhook in &survey.deleted {
            while webhook_deliveries::forget(&mut db, *webhook).await? == EXPIRED_AT_ONCE {}
            webhooks::forget(&mut db, *webhook).await?;
        }
        Ok(())
    };
    let swept: sqlx::Result<()> = swept.await;
    if let Err(error) = swept {
        unlooked(&error);
    }
}

fn unlooked(error: &sqlx::Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "could not look at the webhooks");
}
