//! Several members of one group: who reads what when one joins, leaves, is killed, or stops
//! polling.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use backends::testing::eventually;
use sqlx::{Connection, PgConnection};

use crate::members::{Member, PATIENCE, Position, Stage};

/// The messages that a member has read, each once.
fn read(member: &Member) -> Vec<Position> {
    let mut known = HashSet::new();
    let mut places = member.listener.heard();
    places.retain(|it| known.insert(it.clone()));
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_reads_the_same_half_of_each_topic() {
    let stage = Stage::new([4, 4]).await;
    let (first, second) = (stage.start("one").await, stage.start("two").await);
    first.joined().await;
    second.joined().await;
    let round = async |round: &str| {
        for topic in stage.topics {
            for partition in 0..4 {
                let key = format!("{topic} {partition} {round}");
                stage.send(topic, partition, &key, &vec!["on"; 25]).await;
            }
        }
        for topic in stage.topics {
            for partition in 0..4 {
                stage.words(&format!("{topic} {partition} {round}"), 25).await;
            }
        }
    };
    // The group may still be rebalancing: the split is that of the first round in which both read.
    let mut rounds = 0;
    let (one, two) = loop {
        let (before_one, before_two) = (read(&first).len(), read(&second).len());
        round(&rounds.to_string()).await;
        let late = |member: &Member, before: usize| read(member).split_off(before);
        let (one, two) = (late(&first, before_one), late(&second, before_two));
        if one.len() + two.len() == 200 && !two.is_empty() {
            break (one, two);
        }
        rounds += 1;
        assert!(rounds < 20, "one reads {}, the other {}", one.len(), two.len());
    };
    assert_eq!((one.len(), two.len()), (100, 100), "each takes half of the work");
    let numbers = |places: &[Position], topic: &str| -> BTreeSet<i32> {
        places.iter().filter(|it| it.topic == topic).map(|it| it.partition).collect()
    };
    for places in [&one, &two] {
        let per_topic: Vec<_> = stage.topics.iter().map(|it| numbers(places, it)).collect();
        assert_eq!(per_topic[0].len(), 2, "{per_topic:?}");
        assert_eq!(per_topic[0], per_topic[1], "the same partitions of all topics");
    }
    first.end().await;
    second.end().await;
}

/// Holds a lock that every batch needs, until the session is dropped.
async fn hold_the_database(stage: &Stage) -> PgConnection {
    let mut db = PgConnection::connect(&stage.database.url()).await.unwrap();
    sqlx::raw_sql("begin; lock table effects in access exclusive mode")
        .execute(&mut db)
        .await
        .unwrap();
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_leave_while_paused_are_read_when_they_come_back() {
    let stage = Stage::new([4]).await;
    let topic = stage.topics[0];
    // A member without a name leaves its group at once.
    let first = stage.start("").await;
    first.joined().await;
    let held = hold_the_database(&stage).await;
    for partition in 0..4 {
        // More messages than may wait in hand, so that the member pauses all its partitions.
        stage.send(topic, partition, &partition.to_string(), &vec!["early"; 1_500]).await;
    }
    let second = stage.start("").await;
    second.joined().await;
    drop(held);
    let early = async |partition: i32| stage.words(&partition.to_string(), 1_500).await;
    for partition in 0..4 {
        assert_eq!(early(partition).await.len(), 1_500, "each took effect once");
    }
    second.end().await;

    for partition in 0..4 {
        stage.send(topic, partition, &format!("late {partition}"), &["late"]).await;
    }
    for partition in 0..4 {
        stage.words(&format!("late {partition}"), 1).await;
    }
    first.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_hand_is_dropped_when_its_partition_leaves() {
    let stage = Stage::new([4]).await;
    let topic = stage.topics[0];
    let first = stage.start("").await;
    first.joined().await;
    let held = hold_the_database(&stage).await;
    for partition in 0..4 {
        stage.send(topic, partition, &partition.to_string(), &vec!["on"; 500]).await;
    }
    // A batch of a hundred waits in the database, and the other messages wait behind it.
    eventually("a batch to be in hand", PATIENCE, async || {
        let heard = first.listener.heard().len();
        if heard >= 1 { Ok(()) } else { Err(heard) }
    })
    .await;
    let second = stage.start("").await;
    second.joined().await;
    drop(held);
    for partition in 0..4 {
        assert_eq!(stage.words(&partition.to_string(), 500).await.len(), 500);
    }

    let mut times = HashMap::<Position, usize>::new();
    for place in first.listener.heard().into_iter().chain(second.listener.heard()) {
        *times.entry(place).or_default() += 1;
    }
    assert_eq!(times.len(), 2_000);
    let twice = times.values().filter(|times| **times > 1).count();
    assert!(twice <= 300, "only what was in a batch is read again: {twice}");
    assert!(!second.listener.heard().is_empty(), "the second takes part");
    first.end().await;
    second.end().await;
}

/// A member in a process of its own, which the test can kill.
struct Process(Child);

impl Process {
    /// The name of the test that, run in a process started here, is the member.
    const TEST: &str = "group::a_killed_instance_reads_again_at_once_and_nobody_takes_its_name";

    fn start(stage: &Stage, instance: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", Self::TEST, "--nocapture"])
            .env("TOY_DATABASE", stage.database.url())
            .env("TOY_KAFKA", &stage.kafka)
            .env("TOY_GROUP", stage.group)
            .env("TOY_TOPICS", stage.topics.join(","))
            .env("TOY_INSTANCE", instance)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Is the member until it is killed, in a process that was started here; does nothing
    /// elsewhere.
    async fn go_on_if_this_is_one() {
        #[expect(clippy::disallowed_methods, reason = "it is what the starting process says")]
        let told = |name: &str| std::env::var(name).ok().map(|told| &*told.leak());
        let Some(database) = told("TOY_DATABASE") else { return };
        let told = |name: &str| told(name).unwrap();
        let options = mailbox::Options {
            service: told("TOY_GROUP"),
            instance: told("TOY_INSTANCE").to_owned(),
            ..crate::operators::options(database.to_owned(), told("TOY_KAFKA").to_owned())
        };
        let topics: Vec<&'static str> = told("TOY_TOPICS").split(',').collect();
        let said =
            "create table if not exists starts (start_id bigint generated always as identity);
                    insert into starts default values";
        let mut db = PgConnection::connect(&options.database_url).await.unwrap();
        sqlx::raw_sql(said).execute(&mut db).await.unwrap();
        let mut member = Member::start(options, topics.leak(), &[]).await;
        let ended = member.ended().await;
        unreachable!("a member goes on until it is killed: {ended:?}");
    }

    fn kill9(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_instance_reads_again_at_once_and_nobody_takes_its_name() {
    Process::go_on_if_this_is_one().await;
    let stage = Stage::new([4]).await;
    let topic = stage.topics[0];
    let mut process = Process::start(&stage, "one");
    stage.send(topic, 0, "before", &["1"]).await;
    stage.words("before", 1).await;

    let listener = stage.options("one");
    let second = mailbox::Mailbox::open(listener, std::sync::Arc::new(crate::toy::Toy)).await;
    let refused = second.err().unwrap().to_string();
    assert!(refused.contains("another process consumes as one"), "{refused}");
    stage.send(topic, 1, "still", &["1"]).await;
    stage.words("still", 1).await;

    process.kill9();
    stage.send(topic, 2, "after", &["1"]).await;
    let _again = Process::start(&stage, "one");
    eventually("the process to be there again", PATIENCE, async || {
        let starts = count(&stage, "select count(*) from starts").await;
        if starts == 2 { Ok(()) } else { Err(starts) }
    })
    .await;
    let restarted = Instant::now();
    stage.words("after", 1).await;
    // A member without a name would have to wait six seconds for its former session to expire.
    let took = restarted.elapsed();
    assert!(took < Duration::from_secs(5), "read again after {took:?}");
}

/// The database's lock decides for the first of two holders of a name. One that gets around the
/// lock, on a database restored beside the first, makes the broker fence the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_fenced_ends_and_says_who_has_its_name() {
    let stage = Stage::new([4]).await;
    let mut first = stage.start("one").await;
    first.joined().await;
    let restored = backends::testing::database().await;
    crate::toy::prepare(&restored.url()).await;
    let options = mailbox::Options { database_url: restored.url(), ..stage.options("one") };

    let second = Member::start(options, stage.topics, &[]).await;

    let ended = tokio::time::timeout(PATIENCE, first.ended()).await.unwrap();
    let why = ended.unwrap_err().to_string();
    assert!(why.contains("another process consumes as one"), "{why}");
    second.joined().await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partitions_of_an_instance_that_is_gone_for_good_are_read_elsewhere() {
    let stage = Stage::new([4]).await;
    let topic = stage.topics[0];
    let mut gone = Process::start(&stage, "one");
    let other = stage.start("two").await;
    other.joined().await;
    eventually("both to take part", PATIENCE, async || {
        let round = mailbox::testing::new_id().to_string();
        for partition in 0..4 {
            stage.send(topic, partition, &round, &["on"]).await;
        }
        stage.words(&round, 4).await;
        let heard = other.listener.heard();
        let of_last: BTreeSet<i32> = heard.iter().rev().take(2).map(|it| it.partition).collect();
        let all = count(&stage, "select count(*) from effects").await;
        let others = all - i64::try_from(heard.len()).unwrap();
        if others > 0 && of_last.len() == 2 {
            Ok(())
        } else {
            Err(format!("{others} by the other"))
        }
    })
    .await;

    gone.kill9();
    let killed = Instant::now();
    for partition in 0..4 {
        stage.send(topic, partition, &format!("after {partition}"), &["on"]).await;
    }
    for partition in 0..4 {
        stage.words(&format!("after {partition}"), 1).await;
    }
    // Its session ends after six seconds, and the partitions are assigned anew within two; a machine
    // that is busy may take four more.
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(12), "read elsewhere after {took:?}");
    other.end().await;
}

async fn count(stage: &Stage, question: &'static str) -> i64 {
    let mut db = PgConnection::connect(&stage.database.url()).await.unwrap();
    sqlx::query_scalar(question).fetch_one(&mut db).await.unwrap()
}
