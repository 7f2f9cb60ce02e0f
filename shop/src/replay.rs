//! `shop replay`: brings events back from a service's outbox, after counting them.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{Home, api::Api, begun::until_ended, members::number, terminal};

/// The arguments of `shop replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose events: order-svc, payment-svc, inventory-svc or notify-svc.
    #[arg(long)]
    pub service: String,
    /// Only those of this topic (all but the catalogue, if it is left out).
    #[arg(long)]
    pub topic: Option<String>,
    /// Only those of this key.
    #[arg(long)]
    pub key: Option<String>,
    /// Only those announced from then on: 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only those announced before then.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Why: it is stored.
    #[arg(long, default_value = "asked for with shop replay")]
    pub reason: String,
    /// Only count them.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    fn body(&self, is_dry_run: bool) -> Value {
        json!({
            "service": self.service, "topic": self.topic, "key": self.key, "from": self.from,
            "to": self.to, "reason": self.reason, "dry_run": is_dry_run,
        })
    }
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let api = Api::of(home)?;
    let counted = api.post("/v1/replays", &args.body(true)).await?.ok()?;
    if args.dry_run {
        terminal::say(if args.json { counted.to_string() } else { words(&counted) });
        return Ok(ExitCode::SUCCESS);
    }
    terminal::note(words(&counted));
    let started = api.post("/v1/replays", &args.body(false)).await?.ok()?;
    let id = started.get("id").and_then(Value::as_str).context("the replay has no id")?;
    let path = format!("/v1/replays/{id}");
    let progress = |replay: &Value| format!("{} of {}", number(replay, "done"), words(replay));
    let ended = until_ended(&api, &path, progress).await?;
    terminal::say(if args.json {
        ended.to_string()
    } else {
        format!("{} events were published once more (replay {id})", number(&ended, "done"))
    });
    Ok(ExitCode::SUCCESS)
}

fn words(counted: &Value) -> String {
    format!("{} events of {} keys", number(counted, "events"), number(counted, "keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_words() {
        assert_eq!(words(&json!({"events": 12, "keys": 3})), "12 events of 3 keys");
    }
}
