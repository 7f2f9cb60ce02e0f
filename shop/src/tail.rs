//! `shop tail`: shows the events of the topics, decoded, as they happen.

use std::process::ExitCode;

use serde_json::json;
use uuid::Uuid;

use crate::{
    Home,
    follow::{self, TopicEvent},
    terminal::{self, Paint},
};

/// The arguments of `shop tail`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this topic: `shop.orders.v1`, or `orders` for short.
    #[arg(long, value_name = "T")]
    pub topic: Option<String>,
    /// Only events about this order.
    #[arg(long, value_name = "ID")]
    pub order: Option<Uuid>,
    /// Print the events as JSON, an object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command until it is interrupted.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let stack = home.stack()?;
    let topics = follow::topics(args.topic.as_deref())?;
    let mut events = follow::live(&stack.kafka(), &topics)?;
    terminal::note(format_args!("following {}: Ctrl-C ends it", topics.join(", ")));
    let order = args.order.map(|order| order.to_string());
    let paint = Paint::of_stdout();
    while let Some(event) = events.recv().await {
        if order.as_ref().is_none_or(|order| *order == event.key) {
            terminal::say(if args.json { object(&event) } else { line(&event, paint) });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One event as one line: time, topic, key, type, version, content.
fn line(event: &TopicEvent, paint: Paint) -> String {
    let name = match event.name() {
        "" => paint.red("no ce_type"),
        name if is_bad_news(name) => paint.red(format_args!("{name:<20}")),
        name => paint.green(format_args!("{name:<20}")),
    };
    let version = event.version.map_or("-".into(), |version| version.to_string());
    let clock = event.time.get(11..23).unwrap_or(&event.time);
    let topic = event.topic.trim_start_matches("shop.").trim_end_matches(".v1");
    format!(
        "{} {:<13} {} {name} {} {}",
        paint.dim(clock),
        topic,
        paint.cyan(&event.key),
        paint.bold(format_args!("v{version}")),
        event.content(),
    )
}

fn is_bad_news(name: &str) -> bool {
    ["Cancelled", "Declined", "Rejected", "Failed", "Expired"].iter().any(|end| name.ends_with(end))
}

fn object(event: &TopicEvent) -> String {
    json!({
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "key": event.key,
        "id": event.id,
        "type": event.full_name,
        "version": event.version,
        "time": event.time,
        "data": event.content(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn an_event() -> TopicEvent {
        TopicEvent {
            topic: "shop.stock.v1".into(),
            partition: 3,
            offset: 17,
            key: "01932c1e-0000-7000-8000-000000000001".into(),
            id: None,
            full_name: "shop.stock.v1.StockRejected".into(),
            version: Some(1),
            time: "2026-11-20T10:00:00.123456Z".into(),
            read_at: std::time::Instant::now(),
            payload: Vec::new(),
        }
    }

    #[test]
    fn a_line_tells_time_topic_key_type_and_version() {
        let line = line(&an_event(), Paint::plain());
        assert!(line.starts_with(
            "10:00:00.123 stock         01932c1e-0000-7000-8000-000000000001 StockRejected        v1 "
        ));
    }

    #[test]
    fn an_object_has_the_whole_envelope() {
        let object: serde_json::Value = serde_json::from_str(&object(&an_event())).unwrap();
        assert_eq!(object["type"], "shop.stock.v1.StockRejected");
        assert_eq!(object["version"], 1);
        assert_eq!(object["offset"], 17);
    }
}
