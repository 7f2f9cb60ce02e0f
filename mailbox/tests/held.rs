//! A row that another session holds: the items that need it wait, in order, and no others are
//! delayed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backends::testing::eventually;
use mailbox::{
    Command, CommandError, HeldRow,
    testing::{Fixture, Person},
};
use sqlx::{Connection, PgConnection};

use crate::{
    commands::running_with,
    operators::options,
    toy::{Toy, ask, clock, hear, prepare, words},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// How long others may be delayed by a held row, once: two seconds, and as much again on a machine
/// that is busy.
const DELAY_MAX: Duration = Duration::from_secs(4);

async fn until_words(toy: &mut Fixture<Toy>, key: &str, count: usize) -> Vec<String> {
    let found = async {
        while words(toy, key).await.len() < count {
            toy.retry_held().await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("what waited is tried again");
    words(toy, key).await
}

#[tokio::test]
async fn a_held_row_delays_its_own_key_alone_and_nothing_overtakes_it() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let key = |number: i64| format!("k{number}");
    toy.hear((0..61).map(|number| hear(&key(number), 1, "1")).collect()).await;
    let person = Person::holds(&database.url(), "select * from counters where key = 'k30'").await;

    let mut batch: Vec<_> = (0..61).map(|number| hear(&key(number), 2, "2")).collect();
    batch.push(hear("k30", 3, "3"));
    let held = vec![batch[30].clone(), batch[61].clone()];
    let began = Instant::now();
    toy.hear(batch).await;
    toy.hear(vec![hear("k30", 4, "4"), hear("k31", 3, "3")]).await;
    let delay = began.elapsed();
    assert!(delay < DELAY_MAX, "the others were delayed by {delay:?}");

    for number in (0..61).filter(|number| *number != 30) {
        let expected: &[&str] = if number == 31 { &["1", "2", "3"] } else { &["1", "2"] };
        assert_eq!(words(&mut toy, &key(number)).await, expected, "{}", key(number));
    }
    assert_eq!(words(&mut toy, "k30").await, ["1"]);
    let dump = toy.dump().await;
    assert!(dump["parked_keys"].is_empty(), "nothing healthy is set aside");
    for message in held {
        let id = message.event_id.to_string();
        assert!(!dump["inbox"].contains(&format!("({id})")), "what waits has not been heard");
    }
    let rows = toy.held_rows(clock() + Duration::from_mins(1));
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0].row, rows[0].waiting), (&HeldRow::new("counter", "k30"), 3));

    person.ends().await;
    assert_eq!(until_words(&mut toy, "k30", 4).await, ["1", "2", "3", "4"]);
    assert!(toy.held_rows(clock() + Duration::from_mins(1)).is_empty());
    toy.hear(vec![hear("k30", 5, "5")]).await;
    assert_eq!(words(&mut toy, "k30").await.last().unwrap(), "5");
}

/// While a row is held, a later item that needs it does not wait for its lock again.
#[tokio::test]
async fn what_comes_later_for_a_held_row_waits_for_no_lock() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    toy.hear(vec![hear("a", 1, "1")]).await;
    let person = Person::holds(&database.url(), "select * from counters where key = 'a'").await;
    toy.hear(vec![hear("a", 2, "2")]).await;

    let server = "select count(*) from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock'";
    let mut look = PgConnection::connect(&database.url()).await.unwrap();
    let mut waits = 0_i64;
    for version in 3..40 {
        let other = format!("o{version}");
        let batch = vec![hear("a", version, &version.to_string()), hear(&other, 1, "1")];
        let mut hearing = Box::pin(toy.hear(batch));
        loop {
            tokio::select! {
                biased;
                _ = &mut hearing => break,
                seen = sqlx::query_scalar::<_, i64>(server).fetch_one(&mut look) => {
                    waits += seen.unwrap();
                }
            }
        }
    }
    assert_eq!(waits, 0, "no session was seen to wait for a lock");
    person.ends().await;
    assert_eq!(until_words(&mut toy, "a", 39).await.len(), 39);
}

/// The lock of an operator who is releasing a key is such a row, too, though no load names it.
#[tokio::test]
async fn a_row_that_no_load_names_holds_back_its_own_key_alone() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    toy.hear(vec![hear("a", 1, "undecidable")]).await;
    let person = Person::holds(&database.url(), "select * from parked_keys").await;

    let mut batch: Vec<_> = (0..20).map(|number| hear(&format!("k{number}"), 1, "1")).collect();
    batch.insert(11, hear("a", 2, "2"));
    toy.hear(batch).await;

    for number in 0..20 {
        assert_eq!(words(&mut toy, &format!("k{number}")).await, ["1"]);
    }
    assert_eq!(toy.dump().await["parked"].len(), 1);
    person.ends().await;
    let parked = async {
        while toy.dump().await["parked"].len() < 2 {
            toy.retry_held().await;
        }
    };
    tokio::time::timeout(PATIENCE, parked).await.expect("it queues behind its key");
}

#[tokio::test]
async fn a_command_for_a_held_row_is_overload_at_its_deadline_and_others_are_answered() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut options = options(database.url(), "127.0.0.1:1".to_owned());
    options.command_deadline = Duration::from_secs(5);
    let (mailbox, stop, loops) = running_with(options).await;
    let tell = |key: String| {
        let mailbox = mailbox.clone();
        async move { mailbox.submit(Command::new(ask(&key, "1"))).await }
    };
    tell("a".to_owned()).await.unwrap();
    let person = Person::holds(&database.url(), "select * from counters where key = 'a'").await;

    let waiting = tell("a".to_owned());
    let others = async {
        for round in 0..3 {
            let told = (0..20).map(|number| tell(format!("k{round}-{number}")));
            for told in futures::future::join_all(told).await {
                assert_eq!(told.unwrap().answer.status, 201, "who does not need it is answered");
            }
        }
        eventually("the row to be named", PATIENCE, async || {
            let rows = mailbox.held_rows();
            let named = rows.iter().any(|held| held.row == HeldRow::new("counter", "a"));
            if named { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    };
    let (waited, ()) = tokio::join!(waiting, others);
    assert_eq!(waited, Err(CommandError::Overloaded));

    person.ends().await;
    assert_eq!(tell("a".to_owned()).await.unwrap().answer.body, b"1 2", "it took no effect");
    assert!(mailbox.held_rows().is_empty());
    stop.cancel();
    loops.join_all().await;
}

/// Two rows held by two sessions: once one is free, its items go on, though the other is still
/// held.
#[tokio::test]
async fn rows_are_gone_on_with_one_by_one() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    toy.hear(vec![hear("a", 1, "1"), hear("b", 1, "1")]).await;
    let first = Person::holds(&database.url(), "select * from counters where key = 'a'").await;
    let second = Person::holds(&database.url(), "select * from counters where key = 'b'").await;
    toy.hear((2..700).flat_map(|n| [hear("a", n, "on"), hear("b", n, "on")]).collect()).await;

    second.ends().await;
    assert_eq!(until_words(&mut toy, "b", 699).await.len(), 699);
    assert_eq!(words(&mut toy, "a").await.len(), 1);
    first.ends().await;
    assert_eq!(until_words(&mut toy, "a", 699).await.len(), 699);
}
