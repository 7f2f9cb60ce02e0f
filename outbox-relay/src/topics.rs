//! Topics that were made anew: found by where they end, and not published to until what they lack
//! is replayed.
//!
//! Whoever deletes a topic and makes it again has emptied it, and events that go on into the empty
//! one would come before those that it lost. librdkafka does not hand topic ids on to us, so the
//! sign is a partition that ends below where it ended before. The sign is sound: a leader that is
//! not sure of its end yet tells none rather than a lower one (KIP-207), and a replay is right as
//! well where Kafka lost its newest messages in an accident. Looks come once a second; what was
//! published since the last one, acknowledgements tell (`acknowledged`): a topic that was made anew
//! right after its first event ends below that one, in two looks, since another broker may answer
//! late; and if it grew meanwhile, what it took lies below it. While the relay does not run nobody
//! writes to the topic; one that is killed within a second of a topic's first event knows no end of
//! it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
};
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    acknowledged::AcknowledgedEnds,
    config::RelayOptions,
    session::{ANSWER, within},
    status::LanePhase,
};

/// Limit of one question to Kafka.
const KAFKA: Duration = Duration::from_secs(5);

/// Stands for an end that Kafka did not tell.
const UNTOLD: i64 = -1;

/// Asks Kafka where topics end, with one client for all databases.
pub(crate) struct Ends {
    kafka: ClientConfig,
    client: OnceLock<BaseConsumer>,
}

impl Ends {
    pub(crate) fn new(options: &RelayOptions) -> Arc<Self> {
        Arc::new(Self { kafka: options.kafka.properties().collect(), client: OnceLock::new() })
    }

    fn client(&self) -> KafkaResult<&BaseConsumer> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Without a group the client consumes nothing.
        let client = (self.kafka.clone())
            .set("client.id", "outbox-relay ends")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .create()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The ends of the topics' partitions; a topic that does not exist is left out.
    async fn of(self: &Arc<Self>, topics: Vec<String>) -> KafkaResult<BTreeMap<String, Vec<i64>>> {
        let ends = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || ends.ask(&topics));
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    fn ask(&self, topics: &[String]) -> KafkaResult<BTreeMap<String, Vec<i64>>> {
        let client = self.client()?;
        // The client's events about its brokers would pile up if nobody polled.
        while client.poll(Duration::ZERO).is_some() {}
        let metadata = client.fetch_metadata(None, KAFKA)?;
        let mut asked = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for topic in metadata.topics().iter().filter(|found| {
            !found.partitions().is_empty() && topics.iter().any(|name| name == found.name())
        }) {
            ends.insert(topic.name().to_owned(), vec![UNTOLD; topic.partitions().len()]);
            for partition in topic.partitions() {
                asked.add_partition_offset(topic.name(), partition.id(), Offset::End)?;
            }
        }
        if ends.is_empty() {
            return Ok(ends);
        }
        // Kafka takes "the end" as a timestamp: one request to each broker asks for all partitions.
        for told in client.offsets_for_times(asked, KAFKA)?.elements() {
            let place = ends
                .get_mut(told.topic())
                .and_then(|ends| ends.get_mut(usize::try_from(told.partition()).ok()?));
            if let (Some(place), Ok(()), Offset::Offset(end)) = (place, told.error(), told.offset())
            {
                *place = end;
            }
        }
        Ok(ends)
    }
}

/// Whether a topic that ended at `before` was made anew, if it ends at `now`.
fn is_anew(before: &[i64], now: &[i64]) -> bool {
    now.len() < before.len()
        || before.iter().zip(now).any(|(before, now)| *now != UNTOLD && now < before)
}

/// The newest known end of each partition: where Kafka tells none, the one before.
fn latest(before: &[i64], now: &[i64]) -> Vec<i64> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    now.iter().zip(before).map(|(now, before)| if *now == UNTOLD { before } else { *now }).collect()
}

/// The topics of one database, and the means to stop publishing to them.
pub(crate) struct Topics {
    ends: Arc<Ends>,
    label: Arc<str>,
    /// Ends the stretch of publishing that is under way.
    stretch: watch::Sender<CancellationToken>,
    /// What Kafka acknowledged to the lane while it led.
    pub(crate) acknowledged: Arc<AcknowledgedEnds>,
    /// Topics that ended below what was acknowledged when somebody last looked.
    suspects: Mutex<BTreeSet<String>>,
}

impl Topics {
    pub(crate) fn new(ends: &Arc<Ends>, label: &Arc<str>) -> Self {
        let stretch = watch::Sender::new(CancellationToken::new());
        let (ends, label) = (Arc::clone(ends), Arc::clone(label));
        Self { ends, label, stretch, acknowledged: Arc::default(), suspects: Mutex::default() }
    }

    /// Takes note of whether a topic ends below what was acknowledged; true if it did at the last
    /// look, too.
    fn note_suspect(&self, topic: &str, is_below: bool) -> bool {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_below {
            suspects.remove(topic);
        }
        is_below && !suspects.insert(topic.to_owned())
    }

    /// The token that ends a stretch of publishing: when the process stops, or a topic was made
    /// anew.
    pub(crate) fn stretch(&self, stop: &CancellationToken) -> CancellationToken {
        let stretch = stop.child_token();
        self.stretch.send_replace(stretch.clone());
        stretch
    }

    /// Asks where the topics end, and notes it. Returns why nothing may be published, if so.
    pub(crate) async fn look(&self, session: &mut PgConnection) -> sqlx::Result<Option<LanePhase>> {
        let known = topics(session).await?;
        // Taken before Kafka is asked: what comes later may lie above its answer.
        let mut acknowledged = self.acknowledged.told();
        let names = known.iter().map(|topic| topic.name.clone()).collect();
        let ends = match self.ends.of(names).await {
            Ok(ends) => ends,
            Err(error) => {
                return Ok(Some(LanePhase::Waiting(format!("Kafka does not answer: {error}"))));
            }
        };
        let mut anew = Vec::new();
        for topic in known {
            let before = topic.ends.unwrap_or_default();
            let Some(now) = ends.get(&topic.name) else { continue };
            let told = acknowledged.remove(&topic.name).unwrap_or_default();
            let is_below = is_anew(&told.ends(), now);
            let is_suspect = self.note_suspect(&topic.name, is_below);
            let fell = told.has_fallen || is_suspect || is_anew(&before, now);
            let now = if fell { now.clone() } else { latest(&before, now) };
            if fell {
                let (database, topic) = (&*self.label, &topic.name);
                tracing::error!(database, topic, ?before, ?now, "a topic was made anew");
            }
            if now != before || fell {
                note(session, &topic.name, &now, fell).await?;
            }
            if fell {
                self.acknowledged.forget(&topic.name);
            }
            if fell || topic.is_anew {
                anew.push(topic.name);
            }
        }
        if anew.is_empty() {
            return Ok(None);
        }
        self.stretch.borrow().cancel();
        Ok(Some(LanePhase::Stopped(format!(
            "{} was made anew and lacks what was in it: replay it (shop replay)",
            anew.join(", ")
        ))))
    }
}

/// A topic as it was when the relay last looked.
struct Topic {
    name: String,
    ends: Option<Vec<i64>>,
    is_anew: bool,
}

async fn topics(session: &mut PgConnection) -> sqlx::Result<Vec<Topic>> {
    let topics = sqlx::query_as!(
        Topic,
        r#"-- topics.all
        select
          said.topic as "name!",
          known.ends as "ends?",
          known.made_anew_at is not null as "is_anew!"
        from (select distinct topic from event_types) as said
        left join relay_topics as known on known.topic = said.topic"#,
    );
    within(ANSWER, topics.fetch_all(session)).await
}

async fn note(
    session: &mut PgConnection,
    topic: &str,
    ends: &[i64],
    is_anew: bool,
) -> sqlx::Result<()> {
    let noted = sqlx::query!(
        "-- topics.note
        insert into relay_topics (topic, ends, made_anew_at)
        values ($1, $2, case when $3 then clock_timestamp() end)
        on conflict (topic) do update
        set ends = excluded.ends,
            made_anew_at = coalesce(excluded.made_anew_at, relay_topics.made_anew_at)",
        topic,
        ends,
        is_anew,
    );
    within(ANSWER, noted.execute(session)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_fell_tells_a_topic_that_was_made_anew() {
        assert!(is_anew(&[10, 20], &[10, 0]));
        assert!(is_anew(&[10, 20], &[11, 19]), "one partition is enough");
        assert!(is_anew(&[10, 20], &[30]), "partitions never become fewer");
        assert!(!is_anew(&[10, 20], &[10, 20]));
        assert!(!is_anew(&[10, 20], &[12, 25, 3]), "partitions may be added");
        assert!(!is_anew(&[10, 20], &[UNTOLD, 20]), "an end that is not told says nothing");
        assert!(!is_anew(&[], &[5]), "a topic that is seen for the first time");
    }

    #[test]
    fn an_end_that_is_not_told_is_where_it_was() {
        assert_eq!(latest(&[10, 20], &[UNTOLD, 21, UNTOLD]), [10, 21, 0]);
    }
}
