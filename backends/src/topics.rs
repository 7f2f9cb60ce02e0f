//! The topics of `deploy/topics.json`, and how topics are made on a broker.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use serde::Deserialize;

use crate::server::LOOK;

/// How long making topics may take: a broker that has just started is slow with its first topics.
const CREATE_MAX: Duration = Duration::from_secs(30);

/// A topic to make.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct File {
    partitions: i32,
    config: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    topics: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    partitions: Option<i32>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// The shop's topics for a local stack, which limits their disk space, too.
pub fn of_the_shop() -> anyhow::Result<Vec<Topic>> {
    let file: File = serde_json::from_str(include_str!("../../deploy/topics.json"))
        .context("deploy/topics.json is not a list of topics")?;
    let topic = |entry: Entry| {
        let mut config = file.config.clone();
        config.extend(file.local.clone());
        config.extend(entry.config);
        if config.get("cleanup.policy").is_some_and(|policy| policy == "compact") {
            config.remove("retention.bytes");
        }
        let partitions = entry.partitions.unwrap_or(file.partitions);
        Topic { name: entry.name, partitions, config }
    };
    Ok(file.topics.into_iter().map(topic).collect())
}

/// Makes the topics that do not exist yet, and waits until each partition has a leader.
pub async fn create(bootstrap: &str, topics: &[Topic]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let start = Instant::now();
    let mut missing: Vec<_> = topics.iter().collect();
    while !missing.is_empty() {
        let wanted: Vec<_> = missing.iter().map(|topic| described(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
        let mut failed = None;
        match admin.create_topics(&wanted, &options).await {
            Err(error) => failed = Some(error.to_string()),
            Ok(answers) => {
                for answer in answers {
                    match answer {
                        Ok(made) | Err((made, RDKafkaErrorCode::TopicAlreadyExists)) => {
                            missing.retain(|topic| topic.name != made);
                        }
                        Err((name, code)) => failed = Some(format!("{name}: {code}")),
                    }
                }
            }
        }
        if let Some(failed) = failed {
            ensure!(start.elapsed() < CREATE_MAX, "cannot create topics: {failed}");
            tokio::time::sleep(LOOK).await;
        }
    }
    let topics = topics.to_vec();
    tokio::task::spawn_blocking(move || await_leaders(&admin, &topics)).await?
}

fn described(topic: &Topic) -> NewTopic<'_> {
    let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(1));
    topic.config.iter().fold(new, |new, (name, value)| new.set(name, value))
}

fn await_leaders(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[Topic],
) -> anyhow::Result<()> {
    let start = Instant::now();
    for topic in topics {
        loop {
            let led = admin.inner().fetch_metadata(Some(&topic.name), Duration::from_secs(5)).map(
                |found| {
                    let partitions = found.topics().first().map_or(&[][..], |t| t.partitions());
                    partitions.iter().filter(|partition| partition.leader() >= 0).count()
                },
            );
            if led.as_ref().is_ok_and(|led| i32::try_from(*led) == Ok(topic.partitions)) {
                break;
            }
            if start.elapsed() > CREATE_MAX {
                bail!("topic {} has {led:?} partitions with a leader", topic.name);
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}
