//! Commands: each takes effect once, has the same answer again under the same key, and survives its
//! client.

use std::{sync::Arc, time::Duration};

use mailbox::{
    Command, CommandError, IdempotencyKey, Mailbox, Options, erase_answers, testing::Fixture,
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    operators::options,
    proxy::Proxy,
    toy::{Add, Toy, ask, clock, prepare, toy, words},
};

pub(crate) fn key(name: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        caller: "anonymous".to_owned(),
        route: "POST /toys".to_owned(),
        key: name.to_owned(),
        fingerprint: [request; 32],
    }
}

#[tokio::test]
async fn the_first_answer_is_told_again() {
    let mut toy = toy().await;
    let first = toy.tell_keyed(ask("a", "1"), Some(key("k", 1))).await.unwrap();
    let again = toy.tell_keyed(ask("a", "1"), Some(key("k", 1))).await.unwrap();

    assert!(!first.replayed && again.replayed);
    assert_eq!(first.answer, again.answer);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
    let reused = toy.tell_keyed(ask("a", "other"), Some(key("k", 2))).await;
    assert_eq!(reused, Err(CommandError::KeyReused));
}

#[tokio::test]
async fn an_answer_that_is_not_kept_leaves_its_key_free() {
    let mut toy = toy().await;
    assert_eq!(
        toy.tell_keyed(ask("a", "busy"), Some(key("k", 1))).await.unwrap().answer.status,
        503
    );
    let second = toy.tell_keyed(ask("a", "1"), Some(key("k", 1))).await.unwrap();
    assert!(!second.replayed);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
}

#[tokio::test]
async fn a_provisional_answer_is_told_and_kept_on_the_last_try_only() {
    let (_url, mailbox, stop, loops) = running().await;
    let command = |is_last_try| Command {
        key: Some(key("k", 1)),
        is_last_try,
        ..Command::new(ask("a", "provisional"))
    };

    for _ in 0..2 {
        assert_eq!(mailbox.submit(command(false)).await, Err(CommandError::TryAgain));
    }
    let last = mailbox.submit(command(true)).await.unwrap();
    assert_eq!((last.answer.status, last.replayed), (409, false));
    let again = mailbox.submit(command(false)).await.unwrap();
    assert_eq!((again.answer, again.replayed), (last.answer, true));
    stop.cancel();
    loops.join_all().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let mut toy = toy().await;
    toy.tell_keyed(ask("a", "1"), Some(key("k", 1))).await.unwrap();
    sqlx::raw_sql("update idempotency_keys set created_at = created_at - interval '25 hours'")
        .execute(toy.db().await)
        .await
        .unwrap();
    let second = toy.tell_keyed(ask("a", "2"), Some(key("k", 2))).await.unwrap();
    assert!(!second.replayed);
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
}

#[tokio::test]
async fn an_erased_answer_says_nothing_and_its_key_still_keeps_from_repeating() {
    let mut toy = toy().await;
    toy.tell_keyed(ask("a", "ann"), Some(key("of ann", 1))).await.unwrap();
    toy.tell_keyed(ask("a", "anna"), Some(key("of anna", 1))).await.unwrap();
    sqlx::raw_sql(
        "update idempotency_keys
         set body = convert_to(format('{\"customer_id\":\"%s\"}', substr(key, 4)), 'UTF8')",
    )
    .execute(toy.db().await)
    .await
    .unwrap();

    let erased = erase_answers(toy.db().await, "ann").await;

    assert_eq!(erased.unwrap(), 1);
    let again = toy.tell_keyed(ask("a", "ann"), Some(key("of ann", 1))).await.unwrap();
    assert_eq!((&*again.answer.body, again.replayed), (&b"{}"[..], true));
    let other = toy.tell_keyed(ask("a", "anna"), Some(key("of anna", 1))).await.unwrap();
    assert!(other.answer.body.ends_with(b"\"anna\"}"));
    assert_eq!(words(&mut toy, "a").await, ["ann", "anna"]);
}

#[tokio::test]
async fn a_command_that_fails_alone_fails_alone() {
    let (url, mailbox, stop, loops) = running().await;
    let told = |word: &'static str| {
        let mailbox = mailbox.clone();
        async move { mailbox.submit(Command::new(ask("a", word))).await }
    };
    let (fine, cursed, other) = tokio::join!(told("fine"), told("cursed"), told("other"));

    assert_eq!(fine.unwrap().answer.status, 201);
    assert_eq!(cursed, Err(CommandError::Failed));
    assert_eq!(other.unwrap().answer.status, 201);
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    assert_eq!(words(&mut toy, "a").await.len(), 2);
    assert!(toy.dump().await["parked_keys"].is_empty());
    stop.cancel();
    loops.join_all().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_found_out() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let proxy = Proxy::before(&database.url()).await;
    let mut toy = Fixture::new(&proxy.url, Arc::new(Toy), clock);
    toy.tell(ask("a", "warm")).await;

    proxy.lose_commits(1);
    let answer = toy.tell(ask("a", "1")).await;

    assert_eq!(proxy.still_armed(), 0, "the fault was met");
    assert_eq!(answer.body, b"1 2", "the answer of the commit that did happen");
    assert_eq!(words(&mut toy, "a").await, ["warm", "1"]);
    assert_eq!(positions(&mut toy).await, 2, "the commit did happen: nothing was decided again");
    proxy.lose_commits(1);
    let keyed = toy.tell_keyed(ask("a", "2"), Some(key("k", 1))).await.unwrap();
    assert_eq!((proxy.still_armed(), keyed.replayed), (0, false), "it is the first answer");
    assert_eq!(keyed.answer.body, b"2 3");
    assert_eq!(positions(&mut toy).await, 3);
    proxy.lose_commits(1);
    toy.hear(vec![crate::toy::hear("b", 1, "heard")]).await;
    assert_eq!(words(&mut toy, "b").await, ["heard"]);
}

/// How many positions of the outbox were handed out, those of rolled-back transactions included.
async fn positions(toy: &mut Fixture<Toy>) -> i64 {
    let last = "select last_value from outbox_pos";
    sqlx::query_scalar(last).fetch_one(toy.db().await).await.unwrap()
}

/// hyper drops a handler when its client goes away; the command must go on all the same, and so
/// must the others of its batch.
#[tokio::test]
async fn clients_that_go_away_lose_nobody_an_acknowledged_command() {
    let (url, mailbox, stop, loops) = running().await;
    let mut asked = JoinSet::new();
    for client in 0..400_u64 {
        let mailbox = mailbox.clone();
        asked.spawn(async move {
            let command = Command::new(ask(&format!("k{}", client % 7), &format!("w{client}")));
            let patience = if client % 3 == 0 {
                Duration::from_micros(client * 7)
            } else {
                Duration::from_mins(1)
            };
            let told = tokio::time::timeout(patience, mailbox.submit(command)).await;
            told.is_ok_and(|told| told.is_ok()).then_some(format!("w{client}"))
        });
    }
    let acknowledged: Vec<String> = asked.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() >= 266);

    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    let effects: Vec<String> =
        sqlx::query_scalar("select word from effects").fetch_all(toy.db().await).await.unwrap();
    let distinct: std::collections::HashSet<&String> = effects.iter().collect();
    assert_eq!(distinct.len(), effects.len(), "each took effect once");
    assert!(
        acknowledged.iter().all(|word| distinct.contains(word)),
        "and none that was acknowledged is missing"
    );
    stop.cancel();
    loops.join_all().await;
}

/// Another instance has written the idempotency key and not committed yet.
#[tokio::test]
async fn of_two_instances_with_one_key_the_second_tells_the_answer_of_the_first() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    toy.tell(ask("a", "warm")).await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let claim = "begin;
        insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
        values ('anonymous', 'POST /toys', 'k', decode(repeat('01', 32), 'hex'), 201, '[]', 'theirs')";
    sqlx::raw_sql(claim).execute(&mut other).await.unwrap();

    let ours = toy.tell_keyed(ask("a", "1"), Some(key("k", 1)));
    let theirs = async {
        let waits = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        loop {
            let waits: i64 = sqlx::query_scalar(waits).fetch_one(&mut other).await.unwrap();
            if waits > 0 {
                break;
            }
        }
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    };
    let (ours, ()) = tokio::join!(ours, theirs);

    let ours = ours.unwrap();
    assert!(ours.replayed);
    assert_eq!(ours.answer.body, b"theirs");
    assert_eq!(words(&mut toy, "a").await, ["warm"], "what was decided here is rolled back");
}

#[tokio::test]
async fn identical_requests_at_two_instances_are_one() {
    let (url, first, stop, loops) = running().await;
    let (second, stop_second, loops_second) =
        running_with(options(url.clone(), "127.0.0.1:1".to_owned())).await;
    let mut asked = JoinSet::new();
    for number in 0..100 {
        let mailbox = if number % 2 == 0 { first.clone() } else { second.clone() };
        let name = format!("k{}", number / 20);
        let command = Command { key: Some(key(&name, 1)), ..Command::new(ask(&name, "1")) };
        asked.spawn(async move { (name, mailbox.submit(command).await.unwrap()) });
    }
    let told = asked.join_all().await;
    let firsts = told.iter().filter(|(_, outcome)| !outcome.replayed).count();
    assert_eq!(firsts, 5, "one of each key was the first");
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    for number in 0..5 {
        assert_eq!(words(&mut toy, &format!("k{number}")).await, ["1"]);
    }
    for (stop, loops) in [(stop, loops), (stop_second, loops_second)] {
        stop.cancel();
        loops.join_all().await;
    }
}

#[tokio::test]
async fn of_requests_with_one_key_in_one_batch_another_body_is_refused() {
    let (url, mailbox, stop, loops) = running().await;
    let ask_as = |request: u8| {
        let command = Command { key: Some(key("k", request)), ..Command::new(ask("a", "1")) };
        mailbox.submit(command)
    };
    let (first, other, again) = tokio::join!(ask_as(1), ask_as(2), ask_as(1));
    assert!(!first.unwrap().replayed);
    assert_eq!(other, Err(CommandError::KeyReused));
    assert!(again.unwrap().replayed);
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
    stop.cancel();
    loops.join_all().await;
}

#[tokio::test]
async fn fifty_identical_requests_are_one() {
    let (url, mailbox, stop, loops) = running().await;
    let mut asked = JoinSet::new();
    for _ in 0..50 {
        let mailbox = mailbox.clone();
        let command = Command { key: Some(key("k", 1)), ..Command::new(ask("a", "1")) };
        asked.spawn(async move { mailbox.submit(command).await.unwrap() });
    }
    let told = asked.join_all().await;
    assert_eq!(told.iter().filter(|outcome| !outcome.replayed).count(), 1);
    assert!(told.iter().all(|outcome| outcome.answer == told[0].answer));
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
    stop.cancel();
    loops.join_all().await;
}

/// Its client was told that it came too late: then it must not take effect when its batch is tried
/// again.
#[tokio::test]
async fn a_command_that_came_too_late_stays_undone_after_a_lost_commit() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let proxy = Proxy::before(&database.url()).await;
    let mut options = options(proxy.url.clone(), "127.0.0.1:1".to_owned());
    options.command_deadline = DEADLINE;
    let (mailbox, loops) = Mailbox::<Toy>::open(options, Arc::new(Toy)).await.unwrap();
    proxy.lose_commits(1);
    let (stop, mut running) = (CancellationToken::new(), JoinSet::new());

    let late = mailbox.submit(Command::new(ask("late", "1")));
    let in_time = async {
        tokio::time::sleep(DEADLINE).await;
        mailbox.submit(Command::new(ask("in time", "1"))).await
    };
    let start = async {
        // Both wait by then, so they are one batch.
        tokio::time::sleep(DEADLINE + Duration::from_millis(100)).await;
        for mailbox::Loop { run, .. } in loops.into_iter().filter(|it| it.name == "commands") {
            running.spawn(run(stop.clone()));
        }
    };
    let (late, in_time, ()) = tokio::join!(late, in_time, start);

    assert_eq!(late, Err(CommandError::Overloaded));
    assert_eq!((in_time.unwrap().answer.status, proxy.lost()), (201, 1));
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    assert!(words(&mut toy, "late").await.is_empty());
    assert_eq!(words(&mut toy, "in time").await, ["1"]);
    stop.cancel();
    running.join_all().await;
}

/// A mailbox whose command loop runs, without Kafka.
pub(crate) async fn running()
-> (String, Mailbox<Toy>, CancellationToken, JoinSet<anyhow::Result<()>>) {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let options = options(database.url(), "127.0.0.1:1".to_owned());
    let (mailbox, stop, running) = running_with(options).await;
    (database.url(), mailbox, stop, running)
}

/// The same on a database that is prepared already.
pub(crate) async fn running_with(
    options: Options,
) -> (Mailbox<Toy>, CancellationToken, JoinSet<anyhow::Result<()>>) {
    let (mailbox, loops) = Mailbox::open(options, Arc::new(Toy)).await.unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for mailbox::Loop { name, run, .. } in loops {
        if name != "messages" {
            running.spawn(run(stop.clone()));
        }
    }
    (mailbox, stop, running)
}

#[tokio::test]
async fn a_database_that_is_away_is_overloaded_at_the_deadline() {
    let server = backends::testing::private_postgres().await;
    server.create_database("toy").await.unwrap();
    let url = server.url("toy");
    prepare(&url).await;
    let mut options = options(url, "127.0.0.1:1".to_owned());
    options.command_deadline = Duration::from_millis(500);
    let (mailbox, loops) = Mailbox::<Toy>::open(options, Arc::new(Toy)).await.unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for mailbox::Loop { run, .. } in loops.into_iter().filter(|it| it.name == "commands") {
        running.spawn(run(stop.clone()));
    }
    let add: Add = ask("a", "1");
    assert_eq!(mailbox.submit(Command::new(add)).await.unwrap().answer.status, 201);

    server.kill9().unwrap();

    // A session may outlive its server by a moment.
    backends::testing::eventually("the database to be missed", Duration::from_secs(10), || async {
        match mailbox.submit(Command::new(ask("a", "2"))).await {
            Err(CommandError::Overloaded) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    stop.cancel();
    running.join_all().await;
}
