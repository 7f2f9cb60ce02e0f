//! `shop parked bulk`: counts the parked keys of a kind, asks, releases or discards them all, and
//! tells what became of each that did not go.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    api::Api,
    begun::until_ended,
    members::{cell, number, text},
    story::with_detail,
    terminal::{self, Paint},
};

/// What becomes of a key that need not be looked at any more.
const WELL: [&str; 3] = ["released", "discarded", "gone"];

/// The arguments of `shop parked bulk`.
#[derive(Debug, clap::Args)]
pub struct Args {
    pub action: Action,
    /// Whose keys: order-svc, payment-svc, inventory-svc or notify-svc.
    #[arg(long)]
    pub service: String,
    /// Only those of this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only those that stopped for this reason, such as undecodable.
    #[arg(long)]
    pub class: Option<String>,
    /// Why: it is stored.
    #[arg(long)]
    pub reason: String,
    /// Go on if there are so many keys, without asking.
    #[arg(long, value_name = "KEYS")]
    pub expected: Option<i64>,
}

/// What to do with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Hand their messages over again, in order.
    Release,
    /// Drop the first message of each, the one that failed.
    Discard,
}

impl Args {
    fn body(&self, expected: Option<i64>) -> Value {
        let filter = json!({"service": self.service, "topic": self.topic, "class": self.class});
        let (action, reason) = (self.action, &self.reason);
        json!({"action": action, "filter": filter, "expected": expected, "reason": reason})
    }

    /// What is about to be done, in words.
    fn words(&self, counted: &Value) -> String {
        let (keys, messages) = (number(counted, "keys"), number(counted, "messages"));
        let service = &self.service;
        let more = counted.get("has_more").and_then(Value::as_bool).unwrap_or_default();
        let more = if more { "; there are more than one operation takes" } else { "" };
        match self.action {
            Action::Release => {
                format!("release {keys} keys of {service} with {messages} messages{more}")
            }
            Action::Discard => {
                format!("drop the first message of {keys} keys of {service}{more}")
            }
        }
    }
}

/// Runs the command.
pub async fn run(args: &Args, api: &Api, as_json: bool) -> anyhow::Result<ExitCode> {
    let counted = api.post("/v1/parked/bulk", &args.body(None)).await?.ok()?;
    let keys = number(&counted, "keys");
    let expected = match args.expected {
        Some(expected) => expected,
        None if keys == 0 => {
            terminal::say(if as_json { counted.to_string() } else { summary(&[]) });
            return Ok(ExitCode::SUCCESS);
        }
        None => {
            terminal::note(args.words(&counted));
            if !is_confirmed(keys)? {
                terminal::note("nothing was done");
                return Ok(ExitCode::FAILURE);
            }
            keys
        }
    };
    let begun = api.post("/v1/parked/bulk", &args.body(Some(expected))).await?.ok()?;
    let id = begun.get("id").and_then(Value::as_str).context("the operation has no id")?;
    let path = format!("/v1/parked/bulk/{id}");
    // The operation goes on without this command, and can be found again.
    terminal::note(format_args!("begun: {path}"));
    let progress =
        |bulk: &Value| format!("{} of {} keys", number(bulk, "done"), number(bulk, "keys"));
    let ended = until_ended(api, &path, progress).await?;
    let outcomes = outcomes(&ended);
    let is_ill = |(outcome, _): &&(String, i64)| !WELL.contains(&outcome.as_str());
    let ill: Vec<_> = outcomes.iter().filter(is_ill).collect();
    if as_json {
        terminal::say(&ended);
    } else {
        terminal::say(summary(&outcomes));
        for (outcome, _) in &ill {
            for key in api.list(&format!("{path}/keys?outcome={outcome}")).await? {
                terminal::say(line(&key, Paint::of_stdout()));
            }
        }
    }
    Ok(if ill.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks the person at the terminal for the number of keys.
fn is_confirmed(keys: i64) -> anyhow::Result<bool> {
    anyhow::ensure!(
        io::stdin().is_terminal(),
        "nobody can be asked here: say --expected {keys} if that is what you want"
    );
    terminal::note("To go on, write the number of keys:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(answer.trim() == keys.to_string())
}

fn outcomes(bulk: &Value) -> Vec<(String, i64)> {
    let outcomes = bulk.get("outcomes").and_then(Value::as_object);
    let outcomes = outcomes.into_iter().flatten();
    outcomes.map(|(outcome, keys)| (outcome.clone(), keys.as_i64().unwrap_or_default())).collect()
}

fn summary(outcomes: &[(String, i64)]) -> String {
    if outcomes.is_empty() {
        return "nothing is parked there".to_owned();
    }
    let parts = outcomes.iter().map(|(outcome, keys)| format!("{keys} {outcome}"));
    parts.collect::<Vec<_>>().join(", ")
}

fn line(key: &Value, paint: Paint) -> String {
    let [topic, name] = ["topic", "key"].map(|member| cell(key, member));
    let outcome = with_detail(&paint.red(cell(key, "outcome")), text(key, "detail"));
    format!("{topic} {} {outcome}", paint.cyan(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(action: Action) -> Args {
        let (service, reason) = ("order-svc".to_owned(), "mended".to_owned());
        Args { action, service, topic: None, class: None, reason, expected: None }
    }

    #[test]
    fn what_will_be_done_is_told_before_it_is_asked_for() {
        let counted = json!({"keys": 3, "messages": 7, "has_more": false});
        let release = args(Action::Release).words(&counted);
        assert_eq!(release, "release 3 keys of order-svc with 7 messages");
        let counted = json!({"keys": 10_000, "messages": 10_000, "has_more": true});
        let discard = args(Action::Discard).words(&counted);
        assert!(
            discard.starts_with("drop the first message of 10000 keys of order-svc; there are")
        );
        assert_eq!(args(Action::Discard).body(None)["expected"], Value::Null);
        assert_eq!(args(Action::Release).body(Some(3))["expected"], 3);
    }

    #[test]
    fn the_end_is_told_by_outcome_and_with_the_keys_that_did_not_go() {
        let bulk = json!({"outcomes": {"released": 2, "stopped": 1}});
        assert_eq!(summary(&outcomes(&bulk)), "2 released, 1 stopped");
        let key = json!({"topic": "shop.stock.v1", "key": "none", "outcome": "stopped",
            "detail": "it is not text"});
        assert_eq!(line(&key, Paint::plain()), "shop.stock.v1 none stopped: it is not text");
        assert_eq!(summary(&outcomes(&json!({"outcomes": {}}))), "nothing is parked there");
    }
}
