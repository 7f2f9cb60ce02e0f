//! What an operator has begun and a service carries out by itself: followed to its end.

use std::{fmt::Display, time::Duration};

use serde_json::Value;

use crate::{api::Api, terminal};

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
        if begun.get("state").and_then(Value::as_str) == Some("ended") {
            break begun;
        }
        terminal::renew(progress(&begun));
        tokio::time::sleep(LOOK).await;
    };
    terminal::renew("");
    Ok(ended)
}

/// A number in an answer; 0 if it is not there.
pub(crate) fn count(of: &Value, name: &str) -> i64 {
    of.get(name).and_then(Value::as_i64).unwrap_or_default()
}
