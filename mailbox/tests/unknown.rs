//! Events of types that a build does not know: none is lost, none stops its key, and the first
//! build that knows them decides them before later messages of their key.

use std::{sync::Arc, time::Duration};

use backends::testing::{TestDatabase, eventually};
use mailbox::{
    Mailbox, Message, OperatorError, ParkedQuery, Reactor,
    testing::{Fixture, Person},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    members::Listener,
    operators::{a_key, by_hand, options, under},
    toy::{ADDED, TOPIC, Toy, clock, hear, prepare, words},
};

/// A type that a later build adds to the toy's topic.
const DOUBLED: &str = "toy.v1.Doubled";
const PATIENCE: Duration = Duration::from_secs(30);

/// The toy's next build, which knows one type more.
fn next_toy() -> Listener {
    Listener::knowing(&[ADDED, DOUBLED])
}

/// One database, and both builds of the toy on it.
struct Stage {
    database: TestDatabase,
    old: Fixture<Toy>,
    new: Fixture<Listener>,
}

impl Stage {
    async fn new() -> Self {
        let database = backends::testing::database().await;
        prepare(&database.url()).await;
        let old = Fixture::new(&database.url(), Arc::new(Toy), clock);
        let new = Fixture::new(&database.url(), Arc::new(next_toy()), clock);
        Self { database, old, new }
    }

    async fn words(&mut self, key: &str) -> Vec<String> {
        words(&mut self.old, key).await
    }

    /// How many events are kept.
    async fn kept(&mut self) -> i64 {
        let kept = sqlx::query_scalar("select count(*) from unknown_events");
        kept.fetch_one(self.old.db().await).await.unwrap()
    }

    async fn desk<R: Reactor>(&self, reactor: R) -> Mailbox<R> {
        let options = options(self.database.url(), "127.0.0.1:1".to_owned());
        Mailbox::open(options, Arc::new(reactor)).await.unwrap().0
    }
}

/// An event of the added type.
fn doubled(key: &str, version: i64, word: &str) -> Message {
    Message { event_type: DOUBLED.to_owned(), ..hear(key, version, word) }
}

#[tokio::test]
async fn an_event_of_unknown_type_is_kept_and_stops_nothing() {
    let mut stage = Stage::new().await;
    let mut broken = doubled("a", 4, "");
    broken.payload = vec![0xff];

    let batch = vec![hear("a", 1, "1"), doubled("a", 2, "2"), hear("a", 3, "3"), broken];
    assert_eq!(stage.old.hear(batch.clone()).await, 0, "no key stops");
    assert_eq!(stage.words("a").await, ["1", "3"]);
    assert_eq!(stage.kept().await, 2, "whatever their bytes are");

    stage.old.hear(batch).await;
    assert_eq!(stage.kept().await, 2, "a redelivery keeps nothing twice");
}

#[tokio::test]
async fn a_build_that_knows_the_type_takes_it_before_the_keys_next_message() {
    let mut stage = Stage::new().await;
    stage.old.hear(vec![doubled("a", 1, "1"), doubled("a", 2, "2"), doubled("b", 1, "b1")]).await;

    stage.new.hear(vec![hear("c", 1, "c1")]).await;
    assert_eq!(stage.kept().await, 3, "another key's messages wait for nothing");
    stage.new.hear(vec![hear("a", 3, "3"), doubled("a", 4, "4")]).await;

    assert_eq!(stage.words("a").await, ["1", "2", "3", "4"]);
    assert_eq!(stage.kept().await, 1);
}

#[tokio::test]
async fn what_an_old_neighbour_still_keeps_is_taken_too() {
    let mut stage = Stage::new().await;
    stage.new.hear(vec![doubled("a", 1, "1")]).await;
    stage.old.hear(vec![doubled("a", 2, "2")]).await;
    stage.new.hear(vec![hear("a", 3, "3")]).await;
    stage.old.hear(vec![doubled("a", 4, "4")]).await;
    stage.new.hear(vec![doubled("a", 5, "5")]).await;
    assert_eq!(stage.words("a").await, ["1", "2", "3", "4", "5"]);
    assert_eq!(stage.kept().await, 0);
}

#[tokio::test]
async fn an_event_that_took_effect_elsewhere_is_not_taken_again() {
    let mut stage = Stage::new().await;
    let event = doubled("a", 1, "1");
    stage.new.hear(vec![event.clone()]).await;
    // After a rollback the topic is read again, by a build that does not know the type.
    stage.old.hear(vec![event]).await;
    assert_eq!(stage.kept().await, 1);
    stage.new.hear(vec![hear("a", 2, "2")]).await;
    assert_eq!(stage.words("a").await, ["1", "2"]);
    assert_eq!(stage.kept().await, 0);
}

#[tokio::test]
async fn an_event_that_was_kept_for_longer_than_the_inbox_remembers_is_taken() {
    let mut stage = Stage::new().await;
    let then = (clock() - time::Duration::weeks(20)).unix_timestamp();
    let then = uuid::Timestamp::from_unix(uuid::NoContext, u64::try_from(then).unwrap(), 0);
    let old = Message { event_id: Uuid::new_v7(then), ..doubled("a", 1, "1") };
    stage.old.hear(vec![old, hear("a", 2, "2")]).await;
    stage.new.hear(vec![hear("a", 3, "3")]).await;
    assert_eq!(stage.words("a").await, ["2", "1", "3"]);
}

#[tokio::test]
async fn a_kept_event_that_cannot_be_decided_parks_its_key_and_no_other() {
    let mut stage = Stage::new().await;
    let batch = vec![
        doubled("a", 1, "1"),
        doubled("a", 2, "undecidable"),
        doubled("a", 3, "3"),
        doubled("b", 1, "cursed"),
        doubled("b", 2, "b2"),
    ];
    stage.old.hear(batch).await;

    stage.new.hear(vec![hear("a", 4, "4"), hear("b", 3, "b3"), hear("c", 1, "c1")]).await;

    assert_eq!(stage.words("a").await, ["1"]);
    assert_eq!(stage.words("b").await, Vec::<String>::new());
    assert_eq!(stage.words("c").await, ["c1"], "nobody else is blamed");
    assert_eq!(stage.kept().await, 0);
    let desk = stage.desk(next_toy()).await;
    let keys = desk.parked().await.unwrap();
    let told: Vec<_> = keys.iter().map(|it| (&*it.key, &*it.class, it.messages)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&("a", "undecidable", 3)), "{told:?}");
    assert!(told.contains(&("b", "refused_by_database", 3)), "{told:?}");

    for key in ["a", "b"] {
        desk.discard(TOPIC, key, "a test", by_hand()).await.unwrap();
        desk.release(TOPIC, key, by_hand()).await.unwrap();
    }
    assert_eq!(stage.words("a").await, ["1", "3", "4"]);
    assert_eq!(stage.words("b").await, ["b2", "b3"]);
}

#[tokio::test]
async fn behind_a_parked_message_it_queues_and_a_release_keeps_it() {
    let mut stage = Stage::new().await;
    let mut poison = hear("a", 1, "");
    poison.payload = vec![0xff];
    stage.old.hear(vec![poison, doubled("a", 2, "2"), hear("a", 3, "3")]).await;
    assert_eq!(stage.kept().await, 0, "its key stopped before");

    let desk = stage.desk(Toy).await;
    desk.discard(TOPIC, "a", "a test", by_hand()).await.unwrap();
    assert_eq!(desk.release(TOPIC, "a", by_hand()).await.unwrap(), 2);
    assert_eq!(stage.words("a").await, ["3"]);
    assert_eq!(stage.kept().await, 1);

    stage.new.hear(vec![hear("a", 4, "4")]).await;
    assert_eq!(stage.words("a").await, ["3", "2", "4"]);
}

#[tokio::test]
async fn what_was_kept_before_a_key_stopped_is_taken_before_it_is_released() {
    let mut stage = Stage::new().await;
    let mut poison = hear("a", 2, "");
    poison.payload = vec![0xff];
    stage.old.hear(vec![doubled("a", 1, "1"), poison, hear("a", 3, "3")]).await;

    let desk = stage.desk(next_toy()).await;
    desk.discard(TOPIC, "a", "a test", by_hand()).await.unwrap();
    desk.release(TOPIC, "a", by_hand()).await.unwrap();
    assert_eq!(stage.words("a").await, ["1", "3"]);
}

#[tokio::test]
async fn the_sweep_takes_what_no_message_follows_and_tells_what_stays() {
    let mut stage = Stage::new().await;
    let stranger = Message { event_type: "toy.v1.Tripled".to_owned(), ..hear("a", 2, "2") };
    stage.old.hear(vec![doubled("a", 1, "1"), stranger]).await;

    let options = options(stage.database.url(), "127.0.0.1:1".to_owned());
    let (desk, loops) = Mailbox::open(options, Arc::new(next_toy())).await.unwrap();
    let stop = CancellationToken::new();
    let sweep = loops.into_iter().find(|it| it.name == "sweep").unwrap().run;
    let sweeping = sweep(stop.clone());
    let watching = async {
        eventually("the sweep to tell what stays", PATIENCE, || async {
            let kept = desk.unknown_events();
            if kept.is_some_and(|kept| kept.count == 1) { Ok(()) } else { Err(format!("{kept:?}")) }
        })
        .await;
        stop.cancel();
    };
    let (swept, ()) = tokio::join!(sweeping, watching);
    swept.unwrap();
    assert_eq!(stage.words("a").await, ["1"]);
}

#[tokio::test]
async fn operators_see_what_is_kept_and_may_drop_it() {
    let mut stage = Stage::new().await;
    let batch = vec![doubled("a", 7, "1"), doubled("a", 8, "2"), doubled("b", 1, "b1")];
    stage.old.hear(batch).await;
    let desk = stage.desk(Toy).await;

    assert!(desk.parked().await.unwrap().is_empty(), "no key stopped");
    let query = ParkedQuery {
        class: Some("unknown_event".to_owned()),
        limit: 10,
        ..ParkedQuery::default()
    };
    let keys = desk.parked_page(&query).await.unwrap();
    let told: Vec<_> = keys.iter().map(|it| (&*it.key, it.messages)).collect();
    assert_eq!(told, [("a", 2), ("b", 1)]);
    assert!(keys[0].reason.contains(DOUBLED), "{}", keys[0].reason);

    desk.discard(TOPIC, "a", "nobody will hear it", by_hand()).await.unwrap();
    assert_eq!(stage.kept().await, 2);
    let done = stage.old.dump().await["operations"].join("\n");
    assert!(done.contains("parked.discard") && done.contains("/test,7,"), "{done}");
    assert!(matches!(desk.discard(TOPIC, "c", "", by_hand()).await, Err(OperatorError::NotParked)));
}

/// A request that is repeated while the first is under way gets the answer of the first, even
/// though that one left nothing to drop.
#[tokio::test]
async fn two_discards_of_a_keys_only_event_under_one_key_get_one_answer() {
    let mut stage = Stage::new().await;
    stage.old.hear(vec![doubled("a", 1, "1")]).await;
    let desk = stage.desk(Toy).await;
    let person = Person::holds(&stage.database.url(), "select * from unknown_events").await;
    let key = a_key("discard", 1);

    let discard = || desk.discard(TOPIC, "a", "nobody will hear it", under(&key));
    let both_wait = async {
        until_locks_are_waited_for(&mut stage.old, 2).await;
        person.ends().await;
    };
    let (one, other, ()) = tokio::join!(discard(), discard(), both_wait);

    let (first, repeated) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(first.is_ok(), "{first:?}");
    assert!(
        matches!(&repeated, Err(OperatorError::Answered(it)) if it.body == b"Ok(1)"),
        "{repeated:?}"
    );
    assert_eq!(stage.kept().await, 0);
}

/// Waits until `count` sessions of the database wait for a lock.
async fn until_locks_are_waited_for(toy: &mut Fixture<Toy>, count: i64) {
    let db = Mutex::new(toy.db().await);
    eventually("sessions to wait for a lock", PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut **db.lock().await)
        .await
        .unwrap();
        if waiting == count { Ok(()) } else { Err(waiting) }
    })
    .await;
}

/// Readers before writers: the build that knows a type runs before the first event of it; and when
/// a type is removed, its last event is consumed before the build that no longer knows it starts.
#[tokio::test]
async fn a_type_is_added_readers_first_and_removed_writers_first_and_nothing_is_kept() {
    let mut stage = Stage::new().await;
    stage.old.hear(vec![hear("a", 1, "1")]).await;
    stage.new.hear(vec![doubled("a", 2, "2"), hear("a", 3, "3")]).await;
    assert_eq!(stage.kept().await, 0);
    stage.new.hear(vec![doubled("a", 4, "the last of its type")]).await;
    stage.old.hear(vec![hear("a", 5, "5")]).await;
    assert_eq!(stage.kept().await, 0);
    assert_eq!(stage.words("a").await, ["1", "2", "3", "the last of its type", "5"]);
}

/// The wrong order: events that the old build cannot read wait for the new one, and after a
/// rollback for the next one.
#[tokio::test]
async fn a_type_that_is_written_before_it_is_read_waits_and_is_not_lost() {
    let mut stage = Stage::new().await;
    assert_eq!(ADDED, hear("a", 1, "").event_type);
    stage.old.hear(vec![hear("a", 1, "1"), doubled("a", 2, "2")]).await;
    stage.new.hear(vec![hear("a", 3, "3")]).await;
    stage.old.hear(vec![doubled("a", 4, "4"), hear("a", 5, "5")]).await;
    stage.new.hear(vec![hear("a", 6, "6")]).await;
    assert_eq!(stage.words("a").await, ["1", "2", "3", "5", "4", "6"]);
    assert_eq!(stage.kept().await, 0);
}
