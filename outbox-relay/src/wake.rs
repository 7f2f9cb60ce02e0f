//! Wake-up: services NOTIFY after their commits, on a connection of their own.
//!
//! A notification only shortens a pause. One that is lost costs a pause and nothing else, because
//! the lane polls anyway.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The channel that services notify.
const CHANNEL: &str = "outbox";

/// Between tries to listen again: in the meantime polling alone does it.
const AGAIN: Duration = Duration::from_secs(1);

/// Turns notifications into wake-ups until it is asked to stop.
pub(crate) async fn listen(
    url: String,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listening = async {
        loop {
            if let Err(error) = hear(&url, &wake).await {
                tracing::debug!("cannot listen for wake-ups: {error}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    stop.run_until_cancelled(listening).await;
    Ok(())
}

async fn hear(url: &str, wake: &Notify) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // The connection is lost with `None`, and what was said meanwhile with it: look.
        listener.try_recv().await?;
        wake.notify_one();
    }
}
