//! Sweeps: what happens when nothing happens. Rows whose deadline has come are looked for, and
//! submitted as commands.

use std::time::Duration;

use futures::future::join_all;
use mailbox::{Command, Mailbox, Reactor};
use tokio_util::sync::CancellationToken;

/// Rows found in one look: as many as a batch takes.
pub const SWEEP_MAX: i64 = 500;

/// Calls `look` at intervals until it is asked to stop, and again at once while it returns that
/// there is more. A failed look is repeated; of failures in a row the first is logged, under the
/// name `what`.
pub async fn sweep<Look>(
    what: &'static str,
    every: Duration,
    stop: CancellationToken,
    look: impl Fn() -> Look,
) -> anyhow::Result<()>
where
    Look: Future<Output = anyhow::Result<bool>>,
{
    let mut is_well = true;
    while !stop.is_cancelled() {
        let looked = look().await;
        let was_well = std::mem::replace(&mut is_well, looked.is_ok());
        let has_more = looked.unwrap_or_else(|error| {
            if was_well {
                let error = &*error as &dyn std::error::Error;
                tracing::warn!(error, what, "a look for rows failed");
            }
            false
        });
        if !has_more {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }
    Ok(())
}

/// Submits a command for each row that a look has found. Returns whether another look may find more
/// at once; not after a failure, because rows that were not decided are found again.
pub async fn decide_all<R: Reactor>(mailbox: &Mailbox<R>, inputs: Vec<R::Input>) -> bool {
    let is_full = i64::try_from(inputs.len()).is_ok_and(|found| found >= SWEEP_MAX);
    let decided = inputs.into_iter().map(|input| mailbox.submit(Command::new(input)));
    let failed = join_all(decided).await.into_iter().filter(Result::is_err).count();
    if failed > 0 {
        tracing::warn!(failed, "the next look finds again what was not decided");
    }
    is_full && failed == 0
}
