//! Replays repeat what was published, in order; topics that were made anew get their past before
//! their present.

use backends::testing;
use outbox_relay::LanePhase;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use sqlx::{Connection, PgConnection};

use crate::stage::{Reader, RunningRelay, SOON, Stage, number, options, prepare, run, say, until};

/// Asks for a replay with the row that a service would write.
async fn ask(session: &mut PgConnection, topic: &str, key: Option<&str>, is_whole: bool) {
    let key = key.map_or("null".to_owned(), |key| format!("'{key}'"));
    let text = format!(
        "insert into replays (
           replay_id, topics, key, to_at, is_whole, reason, caller, events, keys, last_position
         )
         values (
           gen_random_uuid(), array['{topic}'], {key}, clock_timestamp(), {is_whole}, 'a test',
           'anonymous', 0, 0, (select last_value from outbox_pos)
         )"
    );
    run(session, &text).await;
}

const ENDED: &str = "(select bool_and(ended_at is not null) from replays)";

async fn done(session: &mut PgConnection) -> i64 {
    number(session, "select sum(done)::bigint from replays").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_publishes_what_was_published_once_more_and_in_order() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&["--tick-every", "20ms"]);
    let mut reader = stage.reader();
    for version in 1..=20 {
        say(&mut session, "one", version).await;
        say(&mut session, "other", version).await;
    }
    reader.read(40).await;
    until(&mut session, "a tick of all", "(select max(published_pos) from relay_tick) = 41").await;

    ask(&mut session, &stage.topic, Some("one"), false).await;
    until(&mut session, "the replay's end", ENDED).await;
    assert_eq!(done(&mut session).await, 20);
    ask(&mut session, &stage.topic, None, true).await;
    until(&mut session, "the replay's end", ENDED).await;
    assert_eq!(done(&mut session).await, 60);

    // The replayed events have their old ids, and new events go on.
    say(&mut session, "one", 21).await;
    reader.read(41).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 60);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_tick_covers_comes_with_its_lane_and_not_with_a_replay() {
    let stage = Stage::new().await;
    let (mut session, mut slow) = (stage.session().await, stage.session().await);
    let relay = stage.relay(&["--tick-every", "20ms"]);
    let mut reader = stage.reader();
    run(&mut slow, "begin").await;
    say(&mut slow, "slow", 1).await;
    say(&mut session, "quick", 1).await;
    reader.read(1).await;
    until(&mut session, "a tick", "(select max(published_pos) from relay_tick) = 3").await;
    relay.kill().await;
    run(&mut slow, "commit").await;
    ask(&mut session, &stage.topic, None, true).await;

    let relay = stage.relay(&["--tick-every", "1h"]);
    until(&mut session, "the replay's end", ENDED).await;

    assert_eq!(done(&mut session).await, 1, "what the lane had not ticked was replayed");
    reader.read(2).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_a_restart_of_the_relay() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&["--tick-every", "20ms"]);
    let many = "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), 'key', n, 1, 'news' from generate_series(1, 30000) as n";
    run(&mut session, many).await;
    let mut reader = stage.reader();
    reader.read(30_000).await;
    let published = "(select max(published_pos) from relay_tick) = 30001";
    until(&mut session, "a tick of all", published).await;

    // A trigger pauses the lane after the replay's first window.
    let pause = "create function pause() returns trigger language plpgsql as $$ begin
           insert into lane_pause (reason, caller) values ('a test', 'anonymous');
           return null;
         end $$;
         create trigger pause after update on replays execute function pause()";
    run(&mut session, pause).await;
    ask(&mut session, &stage.topic, None, false).await;
    until(&mut session, "a piece of it", "(select max(done) from replays) > 0").await;
    relay.kill().await;
    let before = done(&mut session).await;
    assert!(before < 30_000, "a pause does not stop it");
    run(&mut session, "drop trigger pause on replays; delete from lane_pause").await;

    let relay = stage.relay(&["--tick-every", "20ms"]);
    until(&mut session, "the replay's end", ENDED).await;

    assert_eq!(done(&mut session).await, 30_000, "what was acknowledged is not published again");
    relay.stop().await;
}

/// A topic that tests delete and make anew, and a database with events for it.
struct Anew {
    kafka: String,
    topic: String,
    url: String,
    session: PgConnection,
}

impl Anew {
    async fn new() -> Self {
        let kafka = testing::kafka().await;
        let [topic] = kafka.topics("anew", [("events", 3)]).await;
        let url = testing::database().await.url();
        prepare(&url, &topic).await;
        let session = PgConnection::connect(&url).await.unwrap();
        Self { kafka: kafka.bootstrap(), topic, url, session }
    }

    fn relay(&self) -> RunningRelay {
        let databases = [("anew", &*self.url)];
        RunningRelay::start(&options(&self.kafka, &databases, &["--tick-every", "20ms"]))
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.kafka, &[&self.topic], 3)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).create().unwrap()
    }

    /// Deletes the topic and makes it again.
    async fn make_anew(&self) {
        let (admin, none) = (self.admin(), AdminOptions::new());
        admin.delete_topics(&[&*self.topic], &none).await.unwrap()[0].as_ref().unwrap();
        testing::eventually("the topic again", SOON, async || {
            let topic = NewTopic::new(&self.topic, 3, TopicReplication::Fixed(1));
            let made = admin.create_topics([&topic], &none).await;
            match made.map(|made| made.into_iter().next()) {
                Ok(Some(Ok(_))) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn say(&mut self, versions: std::ops::RangeInclusive<i64>) {
        for version in versions {
            for key in ["one", "other", "third", "fourth", "fifth", "sixth"] {
                say(&mut self.session, key, version).await;
            }
        }
    }
}

fn is_anew(state: &LanePhase) -> bool {
    matches!(state, LanePhase::Stopped(why) if why.contains("made anew"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_not_written_to_before_it_has_its_past() {
    let mut anew = Anew::new().await;
    let relay = anew.relay();
    anew.say(1..=10).await;
    let published = "(select max(published_pos) from relay_tick) = 61";
    until(&mut anew.session, "a tick of all", published).await;

    // At once: nobody has looked at where the topic ends, so acknowledgements have to tell.
    anew.make_anew().await;
    relay.until(0, is_anew).await;
    anew.say(11..=12).await;
    ask(&mut anew.session, &anew.topic.clone(), None, true).await;

    // The reader checks each key's order.
    anew.reader().read(72).await;
    until(&mut anew.session, "the replay's end", ENDED).await;
    assert_eq!(done(&mut anew.session).await, 60);
    relay.leads().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_while_no_relay_ran_is_found_at_the_start() {
    let mut anew = Anew::new().await;
    let relay = anew.relay();
    anew.say(1..=5).await;
    let published = "(select max(published_pos) from relay_tick) = 31";
    until(&mut anew.session, "a tick of all", published).await;
    let ends = "(select coalesce(sum(e), 0) from relay_topics, unnest(ends) as e) = 30";
    until(&mut anew.session, "the ends", ends).await;
    relay.stop().await;
    anew.make_anew().await;
    anew.say(6..=6).await;

    let relay = anew.relay();
    relay.until(0, is_anew).await;
    // A replay of one key does not make the topic complete.
    ask(&mut anew.session, &anew.topic.clone(), Some("one"), false).await;
    until(&mut anew.session, "the replay's end", ENDED).await;
    relay.until(0, is_anew).await;

    ask(&mut anew.session, &anew.topic.clone(), None, true).await;
    anew.reader().read(36).await;
    relay.leads().await;
    relay.stop().await;
}

/// An operator may take the topic as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_written_to_again_when_it_is_taken_as_it_is() {
    let mut anew = Anew::new().await;
    let relay = anew.relay();
    anew.say(1..=5).await;
    let ends = "(select coalesce(sum(e), 0) from relay_topics, unnest(ends) as e) = 30";
    until(&mut anew.session, "the ends", ends).await;
    anew.make_anew().await;
    relay.until(0, is_anew).await;

    run(&mut anew.session, "update relay_topics set made_anew_at = null").await;

    relay.leads().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_topics_end_is_written_down_as_they_grow() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&[]);
    for version in 1..=3 {
        say(&mut session, "key", version).await;
    }
    let ends = "select array_length(ends, 1)::bigint from relay_topics";
    until(
        &mut session,
        "the ends",
        "(select coalesce(sum(e), 0) from relay_topics, unnest(ends) as e) = 3",
    )
    .await;
    assert_eq!(number(&mut session, ends).await, 3);
    let anew = "select count(made_anew_at) from relay_topics";
    assert_eq!(number(&mut session, anew).await, 0);
    relay.stop().await;
}
