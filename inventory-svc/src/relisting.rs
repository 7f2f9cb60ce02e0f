//! Announces every product once more when the catalogue's topic was made anew.
//!
//! The outbox cannot restore the topic, because it deletes events after a week, and a compacted
//! topic has to hold the newest event of each product, however old.

use std::time::Duration;

use futures::future::join_all;
use mailbox::{Command, Mailbox};
use proto::{Sku, topic};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{input::Input, reactions::Inventory, store::products};

/// How often to look whether the topic was made anew: the relay looks every second.
const EVERY: Duration = Duration::from_secs(2);
/// Products announced at a time: a batch.
const SAID_MAX: i64 = 500;

/// Looks at the catalogue's topic until it is asked to stop.
pub async fn watch(
    pool: PgPool,
    mailbox: Mailbox<Inventory>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let look = async || look_once(&pool, &mailbox).await.map(|()| false);
    let watching = service_kit::sweep("the catalogue's topic", EVERY, stop.clone(), look);
    stop.run_until_cancelled(watching).await.unwrap_or(Ok(()))
}

/// Announces every product anew if the topic was made anew, and then lets the relay publish to it:
/// until then the announced events wait in the outbox. If one product fails, the next look
/// announces all of them again.
async fn look_once(pool: &PgPool, mailbox: &Mailbox<Inventory>) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    let made_anew = mailbox::topic_made_anew(&mut db, topic::CATALOGUE).await?;
    drop(db);
    let Some(since) = made_anew else { return Ok(()) };
    let (mut after, mut said): (Option<String>, usize) = (None, 0);
    loop {
        let mut db = pool.acquire().await?;
        let page = products::names(&mut db, after.as_deref(), SAID_MAX).await?;
        drop(db);
        let Some(last) = page.last() else { break };
        after = Some(last.sku.clone());
        let skus: Vec<Sku> = page.iter().map(|it| Sku::parse(&it.sku)).collect::<Result<_, _>>()?;
        let says = skus.into_iter().map(|sku| mailbox.submit(Command::new(Input::SayAnew(sku))));
        for end in join_all(says).await {
            end?;
            said += 1;
        }
    }
    mailbox::take_topic(&mut *pool.acquire().await?, topic::CATALOGUE, since).await?;
    tracing::info!(products = said, "the catalogue's topic was made anew, and every product said");
    Ok(())
}
