//! What an operator has begun and a service carries out by itself: followed to its end.

use std::{fmt::Display, time::Duration};

use serde_json::Value;

use crate::{api::Api, members::text, terminal};

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// Asks for what is at `path` until it has ended, and shows meanwhile how far it is, in the words
/// of `progress`.
pub(crate) async fn until_ended<D: Display>(
    api: &Api,
    path: &str,
    progress: impl Fn(&Value) -> D,
) -> anyhow::Result<Value> {
    let ended = loop {
        let begun = api.get(path).await?.ok()?;
        if text(&begun, "state") == "ended" {
            break begun;
        }
        terminal::renew(progress(&begun));
        tokio::time::sleep(LOOK).await;
    };
    terminal::renew("");
    Ok(ended)
}
