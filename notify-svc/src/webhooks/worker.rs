//! The worker of one webhook: begins what is due, sends it, records what became of it.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chassis::clock;
use proto::WebhookId;
use reqwest::{StatusCode, Url};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{LOOK_EVERY, LOOK_PAUSE, WebhookRoom, cloud_event};
use crate::{
    carriers::{
        CarrierError,
        signed::{SignedRequest, SigningSecret, beginning, retry_after},
    },
    deliveries::pause_after,
    domain::{DisabledReason, WebhookStatus},
    input::KeptEvent,
    metrics,
    store::{
        webhook_deliveries::{self, BegunDelivery, EXPIRED_AT_ONCE},
        webhook_events, webhook_replays, webhooks,
    },
    world::webhooks::{Webhook, WebhookAttempt},
};

/// Failures in a row after which a receiver is asked one thing at a time, with pauses.
const FAILURES_MAX: u32 = 5;
/// The longest of these pauses.
const REST_MAX: Duration = Duration::from_mins(1);
/// Pauses after failed attempts at one delivery: twice as long each time, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_hours(4);

/// The worker of one webhook.
pub(super) struct Worker {
    webhook: WebhookId,
    room: WebhookRoom,
}

/// Where a webhook's requests go.
struct Receiver {
    url: Url,
    secrets: Vec<SigningSecret>,
    /// Since when it has been the webhook's.
    since: OffsetDateTime,
}

/// A delivery whose attempt has begun, with its event.
type DueDelivery = (BegunDelivery, KeptEvent);

/// What an attempt says of a receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Taken,
    NotTaken,
    /// It was not asked: the event cannot be written.
    Unasked,
}

/// Why a receiver did not take an event.
struct NotTaken {
    status: Option<u16>,
    error: String,
    /// How long it asks to be left alone.
    after: Option<Duration>,
    is_asked: bool,
}

impl Worker {
    pub(super) fn new(webhook: WebhookId, room: WebhookRoom) -> Arc<Self> {
        Arc::new(Self { webhook, room })
    }

    /// Works until nothing is due, or until it is asked to stop; then ends the attempts under way.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut sending, mut failures) = (JoinSet::new(), 0_u32);
        let mut fresh = self.room.fresh.clone();
        while !stop.is_cancelled() {
            let slots = if failures < FAILURES_MAX { self.room.attempts_at_once } else { 1 };
            let free = slots.saturating_sub(sending.len());
            let due = if free > 0 { self.due(free).await } else { Vec::new() };
            for attempt in due {
                sending.spawn(attempt);
            }
            if sending.is_empty() {
                return;
            }
            let has_room = sending.len() < slots;
            tokio::select! {
                () = stop.cancelled() => {}
                Some(taken) = sending.join_next() => {
                    let reply = taken.unwrap_or(Reply::NotTaken);
                    failures = match reply {
                        Reply::Taken => 0,
                        Reply::NotTaken => failures.saturating_add(1),
                        Reply::Unasked => failures,
                    };
                    if let Some(rest) = resting(failures).filter(|_| reply == Reply::NotTaken) {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = sleep(rest) => {}
                        }
                    }
                }
                // More may be due by now.
                () = sleep(LOOK_EVERY), if has_room => {}
                Ok(()) = fresh.changed(), if has_room => sleep(LOOK_PAUSE).await,
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Attempts that are due and begun, up to `free`.
    async fn due(self: &Arc<Self>, free: usize) -> Vec<impl Future<Output = Reply> + Send + use<>> {
        let (receiver, due) = self.begin(free).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                webhook_id = %self.webhook,
                "could not look for what a webhook is to be told"
            );
            (None, Vec::new())
        });
        let Some(receiver) = receiver.map(Arc::new) else { return Vec::new() };
        let attempt = |(begun, event)| {
            let (worker, receiver) = (Arc::clone(self), Arc::clone(&receiver));
            async move { worker.attempt(begun, event, &receiver).await }
        };
        due.into_iter().map(attempt).collect()
    }

    /// Begins attempts that are due, up to `free`; none if the webhook is not enabled any more.
    async fn begin(&self, free: usize) -> anyhow::Result<(Option<Receiver>, Vec<DueDelivery>)> {
        let mut db = self.room.pool.acquire().await?;
        let found = webhooks::find_all(&mut db, &[self.webhook.uuid()]).await?.pop();
        let is_enabled = |webhook: &Webhook| webhook.settings.status == WebhookStatus::Enabled;
        let Some((_, webhook)) = found.filter(|(_, webhook)| is_enabled(webhook)) else {
            return Ok((None, Vec::new()));
        };
        let url = webhook.settings.url.parse().context("a stored address is no URL")?;
        let old = webhook.old_secret.filter(|(_, until)| clock::now() < *until);
        let secrets = [Some(webhook.secret), old.map(|(secret, _)| secret)];
        let secrets = secrets.into_iter().flatten().collect();
        let receiver = Receiver { url, secrets, since: webhook.enabled_at };
        let limit = i64::try_from(free)?;
        let mut has_more = webhook_replays::advance(&mut db, self.webhook).await?;
        let mut begun = webhook_deliveries::begin(&mut db, self.webhook, limit).await?;
        // Of a replay, few events may be the webhook's: it goes on until something is due.
        let until = Instant::now() + LOOK_EVERY;
        while begun.is_empty() && has_more && Instant::now() < until {
            has_more = webhook_replays::advance(&mut db, self.webhook).await?;
            begun = webhook_deliveries::begin(&mut db, self.webhook, limit).await?;
        }
        let ids: Vec<_> = begun.iter().map(|begun| begun.event_id).collect();
        let events = webhook_events::find_all(&mut db, &ids).await?;
        if begun.iter().any(|it| !events.contains_key(&it.event_id)) {
            self.fail_unkept(&mut db).await?;
        }
        let due = begun.into_iter().filter_map(|it| Some((it, events.get(&it.event_id)?.clone())));
        Ok((Some(receiver), due.collect()))
    }

    /// Ends all deliveries whose events are not kept any more: the receiver can do nothing for it.
    async fn fail_unkept(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let error = Some("the event is not kept any more".to_owned());
        let at = clock::rfc3339(clock::now());
        let attempt = WebhookAttempt { at, status: None, error, ms: 0 };
        while webhook_deliveries::fail_unkept(db, self.webhook, &attempt).await? == EXPIRED_AT_ONCE
        {
        }
        Ok(())
    }

    /// Makes one attempt, and records what became of it.
    async fn attempt(&self, begun: BegunDelivery, event: KeptEvent, receiver: &Receiver) -> Reply {
        let (at, started) = (clock::rfc3339(clock::now()), Instant::now());
        let outcome = self.send(&event, receiver).await;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reply = match &outcome {
            Ok(_) => Reply::Taken,
            Err(why) if why.is_asked => Reply::NotTaken,
            Err(_) => Reply::Unasked,
        };
        let recorded = match outcome {
            Ok(status) => {
                let attempt = WebhookAttempt { at, status: Some(status), error: None, ms };
                self.delivered(begun, attempt).await
            }
            Err(why) => {
                let attempt =
                    WebhookAttempt { at, status: why.status, error: Some(why.error.clone()), ms };
                self.failed(begun, &attempt, &why, receiver).await
            }
        };
        if let Err(error) = recorded {
            // Its lease runs out, and it is sent again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                webhook_id = %self.webhook,
                delivery_id = begun.id,
                "could not record a delivery to a webhook"
            );
        }
        reply
    }

    /// Sends an event; returns the status of the answer that took it.
    async fn send(&self, event: &KeptEvent, receiver: &Receiver) -> Result<u16, NotTaken> {
        let body = cloud_event::body(event).map_err(|error| {
            let why = format!("{:#}", anyhow::Error::new(error));
            NotTaken { is_asked: false, ..NotTaken::unanswered(&why) }
        })?;
        let request = SignedRequest {
            url: &receiver.url,
            id: &event.id.to_string(),
            media_type: cloud_event::MEDIA_TYPE,
            body: &body,
            secrets: &receiver.secrets,
        };
        let until = Instant::now() + self.room.attempt_timeout;
        let sent = timeout_at(until, self.room.client.post(request)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(CarrierError::Refused(why) | CarrierError::Later { why, .. })) => {
                return Err(NotTaken::unanswered(&why));
            }
            Err(_) => return Err(NotTaken::unanswered("no answer in time")),
        };
        let (status, after) = (response.status(), retry_after(&response));
        // Read, so that the connection serves again; what is in it does not matter.
        let _read = timeout_at(until, beginning(response)).await;
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let error = format!("status {}", status.as_u16());
        Err(NotTaken { status: Some(status.as_u16()), error, after, is_asked: true })
    }

    async fn delivered(&self, begun: BegunDelivery, attempt: WebhookAttempt) -> sqlx::Result<()> {
        metrics::webhook_attempt("delivered");
        let mut db = self.room.pool.acquire().await?;
        webhook_deliveries::delivered(&mut db, begun, &attempt).await
    }

    /// Puts the delivery off, or ends it, and disables a webhook that takes nothing.
    async fn failed(
        &self,
        begun: BegunDelivery,
        attempt: &WebhookAttempt,
        why: &NotTaken,
        receiver: &Receiver,
    ) -> sqlx::Result<()> {
        let pause = pause_after(begun.tries, PAUSE_FIRST, PAUSE_MAX);
        let pause = (!why.is_gone()).then(|| pause.max(why.after.unwrap_or_default()));
        let mut db = self.room.pool.acquire().await?;
        let is_over = webhook_deliveries::failed(&mut db, begun, attempt, pause).await?;
        metrics::webhook_attempt(if is_over { "failed" } else { "later" });
        if why.is_gone() {
            if webhooks::disable_gone(&mut db, self.webhook, receiver.since).await? {
                was_disabled(self.webhook, DisabledReason::Gone);
            }
        } else if why.is_asked && webhooks::disable_failing(&mut db, self.webhook, is_over).await? {
            was_disabled(self.webhook, DisabledReason::Failures);
        }
        Ok(())
    }
}

/// Tells operators of a webhook that was disabled by itself.
pub(super) fn was_disabled(webhook: WebhookId, reason: DisabledReason) {
    tracing::warn!(webhook_id = %webhook, reason = reason.as_str(), "a webhook was disabled");
}

impl NotTaken {
    fn unanswered(why: &str) -> Self {
        Self { status: None, error: why.to_owned(), after: None, is_asked: true }
    }

    /// Whether the receiver says that there is none any more.
    fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// How long a receiver is left alone after this many failures in a row.
fn resting(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(FAILURES_MAX)?;
    Some(Duration::from_secs(1 << doublings.min(10)).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_fails_on_and_on_is_left_alone_for_longer_and_longer() {
        assert_eq!([0, 4].map(resting), [None, None]);
        let seconds = [5, 6, 10, 11, u32::MAX].map(|failures| resting(failures).unwrap().as_secs());
        assert_eq!(seconds, [1, 2, 32, 60, 60]);
    }
}
