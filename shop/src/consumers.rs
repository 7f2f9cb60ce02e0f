//! `shop consumers`: what each service reads, what it does not read and why; pauses and resumes.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    Home,
    api::Api,
    members::cell,
    terminal::{self, Paint},
};

/// The arguments of `shop consumers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub action: Option<ConsumerAction>,
}

/// What to do with consumers.
#[derive(Debug, clap::Subcommand)]
pub enum ConsumerAction {
    /// Every partition and its state (the default action).
    List {
        /// Only of this service.
        #[arg(long)]
        service: Option<String>,
    },
    /// Stop reading one topic of a service, or all.
    Pause {
        service: String,
        #[arg(long)]
        topic: Option<String>,
        /// Why: it is shown and stored.
        #[arg(long)]
        reason: String,
    },
    /// Go on with what is paused, and with what has stopped, from where --from says.
    Resume {
        service: String,
        #[arg(long)]
        topic: Option<String>,
        #[arg(long, requires = "topic")]
        partition: Option<i32>,
        /// Where to go on: here, beginning, or an offset of a partition.
        #[arg(long, value_parser = from)]
        from: Option<Value>,
        /// Why: it is stored.
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let api = Api::of(home)?;
    let told = match args.action.unwrap_or(ConsumerAction::List { service: None }) {
        ConsumerAction::List { service } => return list(&api, service.as_deref(), args.json).await,
        ConsumerAction::Pause { service, topic, reason } => {
            let body = json!({ "topic": topic, "reason": reason });
            api.post(&format!("/v1/consumers/{service}/pause"), &body).await?.ok()?
        }
        ConsumerAction::Resume { service, topic, partition, from, reason } => {
            let body =
                json!({ "topic": topic, "partition": partition, "from": from, "reason": reason });
            api.post(&format!("/v1/consumers/{service}/resume"), &body).await?.ok()?
        }
    };
    terminal::say(if args.json { told.to_string() } else { format!("{told:#}") });
    Ok(ExitCode::SUCCESS)
}

/// Reads `--from`: `here`, `beginning` or an offset, as the API takes it.
fn from(text: &str) -> anyhow::Result<Value> {
    if ["here", "beginning"].contains(&text) {
        return Ok(text.into());
    }
    let offset: u64 = text.parse().context("write here, beginning or an offset")?;
    Ok(json!({ "offset": offset }))
}

async fn list(api: &Api, service: Option<&str>, as_json: bool) -> anyhow::Result<ExitCode> {
    let path =
        service.map_or("/v1/consumers".into(), |name| format!("/v1/consumers?service={name}"));
    let partitions = api.list(&path).await?;
    if as_json {
        terminal::say(json!({ "items": partitions }));
    } else {
        let paint = Paint::of_stdout();
        partitions.iter().map(|partition| line(partition, paint)).for_each(terminal::say);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(partition: &Value, paint: Paint) -> String {
    let [service, topic, number, lag, state, since, reason] =
        ["service", "topic", "partition", "lag", "state", "since", "reason"]
            .map(|member| cell(partition, member));
    let head = format!("{} {topic} {number}", paint.bold(service));
    if state == "reading" {
        return format!("{head} reading, {lag} to read");
    }
    format!("{head} {} since {since}, {lag} to read: {reason}", paint.red(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_fits_a_line() {
        let mut partition = json!({"service": "order-svc", "topic": "shop.stock.v1",
            "partition": 3, "state": "reading", "reason": null, "lag": 7, "since": null});
        let said = |partition: &Value| line(partition, Paint::plain());
        assert_eq!(said(&partition), "order-svc shop.stock.v1 3 reading, 7 to read");
        partition["state"] = "stopped".into();
        partition["reason"] = "gone".into();
        partition["since"] = "2026-11-20T10:00:00.000000Z".into();
        assert_eq!(
            said(&partition),
            "order-svc shop.stock.v1 3 stopped since 2026-11-20T10:00:00.000000Z, 7 to read: gone"
        );
    }

    #[test]
    fn a_place_is_a_word_or_an_offset() {
        assert_eq!(from("here").unwrap(), json!("here"));
        assert_eq!(from("42").unwrap(), json!({"offset": 42}));
        assert!(from("there").is_err());
        assert!(from("-1").is_err());
    }
}
