//! Delivers mails: one worker appends many mails in one write, then records them as sent in one
//! batch.
//!
//! A delivery is a row before it is attempted, leased to the process that queued it. Each attempt
//! is counted in the row before anything is written, and a process whose count is not the row's has
//! lost the delivery to another. So two processes never write one mail at the same time. A mail
//! that was written and not recorded, because the process died in between, is written again when
//! its lease is over, under the same message id: at least once, and a reader can recognise the
//! second copy.

use std::{collections::HashSet, time::Duration};

use chassis::clock;
use futures::future::join_all;
use mailbox::{Command, Mailbox};
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    email_file::{self, EmailFile, Mail},
    input::Input,
    reactions::Notify,
    store,
    templates::render,
    world::Job,
};

/// Batches that may wait for the worker: seconds of its work. Those beyond it are left to the
/// sweep.
pub const WAITING_MAX: usize = 64;
/// Mails in one write: as many as the batch that records them holds.
const MAILS_MAX: usize = 500;
/// How often the sweep looks for deliveries whose lease is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The back-off before a record that the database did not take is tried again.
const BACKOFF: Duration = Duration::from_millis(500);

/// Delivers what this process queued, and deliveries whose lease is over, until it is asked to
/// stop.
pub async fn deliver(
    mut jobs: mpsc::Receiver<Vec<Job>>,
    mut file: EmailFile,
    mailbox: Mailbox<Notify>,
    pool: PgPool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // The sweep looks only when no job waits here, so it finds no lease that this process still
        // uses.
        let is_idle = jobs.is_empty();
        let mut batch = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            first = jobs.recv() => match first {
                Some(first) => first,
                None => return Ok(()),
            },
            _ = sweep.tick(), if is_idle => left_over(&pool).await,
        };
        while batch.len() < MAILS_MAX {
            let Ok(more) = jobs.try_recv() else { break };
            batch.extend(more);
        }
        begin(&pool, &mut batch).await;
        if batch.is_empty() {
            continue;
        }
        if let Err(error) = append(&mut file, &batch).await {
            // The leases of these deliveries run out, and the sweep finds them again.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                mails = batch.len(),
                "could not write mails"
            );
            continue;
        }
        record(&mailbox, batch, &stop).await;
    }
}

/// Begins those deliveries that still belong to this process, and drops the others from `batch`.
async fn begin(pool: &PgPool, batch: &mut Vec<Job>) {
    if batch.is_empty() {
        return;
    }
    let begun = async { store::deliveries::begin(&mut *pool.acquire().await?, batch).await };
    let ours: HashSet<_> = match begun.await {
        Ok(ids) => ids.into_iter().collect(),
        Err(error) => {
            // The leases of these deliveries run out, and the sweep finds them again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                mails = batch.len(),
                "could not begin deliveries"
            );
            HashSet::new()
        }
    };
    batch.retain_mut(|job| {
        job.attempts += 1;
        ours.contains(&job.id.uuid())
    });
}

async fn append(file: &mut EmailFile, batch: &[Job]) -> std::io::Result<()> {
    let now = clock::now();
    let mut mails = Vec::with_capacity(batch.len() * 640);
    for job in batch {
        let text = render(job.template, &job.fields);
        let id = job.id.to_string();
        let mail = Mail { id: &id, to: &job.to, subject: &text.subject, text: &text.text };
        email_file::write(&mut mails, mail, now);
    }
    file.append(&mails).await
}

/// Records mails as sent. They have been sent, so this is tried for as long as it takes.
async fn record(mailbox: &Mailbox<Notify>, mut batch: Vec<Job>, stop: &CancellationToken) {
    loop {
        let records = batch.iter().map(|job| {
            let Job { id, order, attempts, trace, .. } = job;
            let input = Input::Delivered { order: *order, id: *id, attempts: *attempts };
            mailbox.submit(Command { trace: *trace, ..Command::new(input) })
        });
        let recorded = join_all(records).await;
        let mut recorded = recorded.into_iter().map(|end| end.is_ok());
        batch.retain(|_| !recorded.next().unwrap_or(false));
        if batch.is_empty() {
            return;
        }
        tracing::warn!(mails = batch.len(), "could not record mails as sent yet");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(BACKOFF) => {}
        }
    }
}

/// Takes over deliveries whose lease is over.
async fn left_over(pool: &PgPool) -> Vec<Job> {
    match take_over(pool).await {
        Ok(jobs) => {
            if !jobs.is_empty() {
                tracing::info!(mails = jobs.len(), "took over deliveries that were left");
            }
            jobs
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not look for deliveries left over"
            );
            Vec::new()
        }
    }
}

async fn take_over(pool: &PgPool) -> sqlx::Result<Vec<Job>> {
    let limit = i64::try_from(MAILS_MAX).unwrap_or(i64::MAX);
    store::deliveries::take_over(&mut *pool.acquire().await?, limit).await
}
