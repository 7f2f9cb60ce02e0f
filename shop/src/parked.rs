//! `shop parked`: lists, shows, releases, discards or replaces parked messages.

pub mod bulk;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    Home,
    api::Api,
    members::{cell, number},
    terminal::{self, Paint},
};

/// The arguments of `shop parked`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub action: Option<ParkedAction>,
}

/// What to do with parked keys.
#[derive(Debug, clap::Subcommand)]
pub enum ParkedAction {
    /// The parked keys (the default action).
    List(ParkedFilter),
    /// The messages of one key, large ones cut.
    Show {
        #[command(flatten)]
        key: Key,
        /// Only this message, whole: its `parked_id`.
        #[arg(long)]
        id: Option<i64>,
    },
    /// Hand a key's messages over again, in order.
    Release(Key),
    /// Drop the first message of a key, the one that failed.
    Discard {
        #[command(flatten)]
        key: Key,
        /// Why: it is stored.
        #[arg(long)]
        reason: String,
    },
    /// Release or discard all keys of a kind, after counting them and asking.
    Bulk(bulk::Args),
    /// Give the first message of a key another payload.
    Replace {
        #[command(flatten)]
        key: Key,
        /// The new payload, as bytes in a file.
        #[arg(long)]
        payload: PathBuf,
        /// Its type, if it came without one or with a wrong one, such as shop.orders.v1.OrderPlaced.
        #[arg(long)]
        event_type: Option<String>,
        /// Its version, if it came without one: look it up in its source's outbox.
        #[arg(long)]
        version: Option<i64>,
        /// Why: it is stored.
        #[arg(long)]
        reason: String,
    },
}

/// Which parked keys to list.
#[derive(Debug, Default, clap::Args)]
pub struct ParkedFilter {
    /// Only of this service.
    #[arg(long)]
    pub service: Option<String>,
    /// Only of this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only of this class; `unknown_event` lists events that wait for a newer build.
    #[arg(long)]
    pub class: Option<String>,
}

impl ParkedFilter {
    fn path(&self) -> String {
        let asked = [("service", &self.service), ("topic", &self.topic), ("class", &self.class)];
        let asked = asked.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let query: Vec<String> = asked.map(|(name, value)| format!("{name}={value}")).collect();
        if query.is_empty() {
            return "/v1/parked".to_owned();
        }
        format!("/v1/parked?{}", query.join("&"))
    }
}

/// A parked key, as `list` writes it.
#[derive(Debug, clap::Args)]
pub struct Key {
    pub service: String,
    pub topic: String,
    pub key: String,
}

impl Key {
    fn path(&self) -> String {
        format!("/v1/parked/{}/{}/{}", self.service, self.topic, self.key)
    }
}

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let api = Api::of(home)?;
    let post = async |key: &Key, action: &str, body: Value| {
        api.post(&format!("{}/{action}", key.path()), &body).await?.ok()
    };
    let told = match args.action.unwrap_or_else(|| ParkedAction::List(ParkedFilter::default())) {
        ParkedAction::List(filter) => return list(&api, &filter, args.json).await,
        ParkedAction::Bulk(wanted) => return bulk::run(&wanted, &api, args.json).await,
        ParkedAction::Show { key, id: Some(id) } => {
            api.get(&format!("{}/{id}", key.path())).await?.ok()?
        }
        ParkedAction::Show { key, id: None } => json!({ "items": api.list(&key.path()).await? }),
        ParkedAction::Release(key) => post(&key, "release", json!({})).await?,
        ParkedAction::Discard { key, reason } => {
            post(&key, "discard", json!({ "reason": reason })).await?
        }
        ParkedAction::Replace { key, payload, event_type, version, reason } => {
            let bytes = std::fs::read(&payload)
                .with_context(|| format!("cannot read {}", payload.display()))?;
            let payload = STANDARD.encode(bytes);
            let body = json!({ "payload": payload, "reason": reason, "event_type": event_type,
                "version": version });
            post(&key, "replace", body).await?
        }
    };
    terminal::say(if args.json { told.to_string() } else { format!("{told:#}") });
    Ok(ExitCode::SUCCESS)
}

async fn list(api: &Api, filter: &ParkedFilter, as_json: bool) -> anyhow::Result<ExitCode> {
    let keys = api.list(&filter.path()).await?;
    if as_json {
        terminal::say(json!({ "items": keys }));
    } else if keys.is_empty() {
        terminal::say("nothing is parked");
    } else {
        let paint = Paint::of_stdout();
        keys.iter().map(|key| line(key, paint)).for_each(terminal::say);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(key: &Value, paint: Paint) -> String {
    let cell = |member| cell(key, member);
    format!(
        "{} {} {} {} waiting since {}: {}",
        paint.bold(cell("service")),
        cell("topic"),
        paint.cyan(cell("key")),
        number(key, "messages"),
        cell("since"),
        paint.red(cell("reason")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_by_what_is_wanted_of_it() {
        assert_eq!(ParkedFilter::default().path(), "/v1/parked");
        let class = Some("unknown_event".to_owned());
        let filter = ParkedFilter { service: Some("order-svc".to_owned()), topic: None, class };
        assert_eq!(filter.path(), "/v1/parked?service=order-svc&class=unknown_event");
    }

    #[test]
    fn a_parked_key_fits_a_line() {
        let key = json!({"service": "order-svc", "topic": "shop.stock.v1", "key": "none",
            "messages": 2, "since": "2026-11-20T10:00:00.000000Z", "reason": "no ce_type"});
        assert_eq!(
            line(&key, Paint::plain()),
            "order-svc shop.stock.v1 none 2 waiting since 2026-11-20T10:00:00.000000Z: no ce_type"
        );
    }
}
