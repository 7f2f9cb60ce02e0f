//! Failures: one before the transaction blames no item, and a panic blames the one item it came
//! from.

use std::{sync::Arc, time::Duration};

use backends::testing::eventually;
use mailbox::{Command, CommandError, OperatorError, testing::Fixture};
use sqlx::{Connection, PgConnection};

use crate::{
    commands::running_with,
    operators::options,
    toy::{TOPIC, Toy, ask, clock, hear, prepare, toy, words},
};

/// Runs a statement as the superuser.
async fn run(url: &str, sql: &str) {
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut db).await.unwrap();
}

/// A server with a database whose owner is not the superuser.
async fn with_a_role() -> (backends::Postgres, String, String) {
    let server = backends::testing::private_postgres().await;
    server.create_database("toy").await.unwrap();
    let admin = server.url("toy");
    run(&admin, "create role svc login superuser password 'secret'").await;
    let (_, place) = admin.rsplit_once('@').unwrap();
    let url = format!("postgres://svc:secret@{place}");
    prepare(&url).await;
    (server, admin, url)
}

const REFUSALS: [(&str, &str); 3] = [
    ("alter role svc nologin", "alter role svc login"),
    ("alter database toy allow_connections false", "alter database toy allow_connections true"),
    ("alter role svc password 'another'", "alter role svc password 'secret'"),
];
const END_ITS_SESSIONS: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'svc'";

#[tokio::test]
async fn a_refused_login_is_no_messages_fault() {
    let (server, _, url) = with_a_role().await;
    let postgres = server.url("postgres");
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    for (version, (refuse, allow)) in (1..).zip(REFUSALS) {
        toy.hear(vec![hear("warm", version, "warm")]).await;
        run(&postgres, refuse).await;
        run(&postgres, END_ITS_SESSIONS).await;
        let word = version.to_string();
        let mut hearing = Box::pin(toy.hear(vec![hear("a", version, &word)]));
        // Long enough for the three equal failures that would park a message.
        let waits = tokio::time::timeout(Duration::from_secs(1), &mut hearing).await;
        assert!(waits.is_err(), "it waits: {refuse}");
        run(&postgres, allow).await;
        assert_eq!(hearing.await, 0, "nothing is set aside: {refuse}");
    }
    assert_eq!(words(&mut toy, "a").await, ["1", "2", "3"]);
    assert!(toy.dump().await["parked"].is_empty());
}

#[tokio::test]
async fn a_command_that_meets_a_refused_login_is_overload() {
    let (server, _, url) = with_a_role().await;
    let postgres = server.url("postgres");
    let mut options = options(url, "127.0.0.1:1".to_owned());
    options.command_deadline = Duration::from_secs(1);
    let (mailbox, stop, loops) = running_with(options).await;
    let tell = async |word: &str| mailbox.submit(Command::new(ask("a", word))).await;
    assert_eq!(tell("1").await.unwrap().answer.status, 201);
    run(&postgres, "alter role svc nologin").await;
    run(&postgres, END_ITS_SESSIONS).await;

    assert_eq!(tell("2").await, Err(CommandError::Overloaded));

    run(&postgres, "alter role svc login").await;
    eventually("commands to be taken again", Duration::from_secs(20), async || {
        tell("3").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    stop.cancel();
    loops.join_all().await;
}

/// With another isolation level as the role's default, a statement after a lock would not see what
/// the lock waited for.
#[tokio::test]
async fn a_roles_default_isolation_is_not_ours() {
    let (server, _, url) = with_a_role().await;
    let default = "alter role svc set default_transaction_isolation = 'serializable'";
    run(&server.url("postgres"), default).await;
    let hearers = (0..3).map(|hearer| {
        let url = url.clone();
        async move {
            let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
            for version in 1..=20 {
                let word = format!("{hearer}-{version}");
                assert_eq!(toy.hear(vec![hear("a", version, &word)]).await, 0);
            }
        }
    });
    futures::future::join_all(hearers).await;
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    assert_eq!(words(&mut toy, "a").await.len(), 60);
    let isolation: String =
        sqlx::query_scalar("show transaction_isolation").fetch_one(toy.db().await).await.unwrap();
    assert_eq!(isolation, "read committed");
}

#[tokio::test]
async fn a_panic_parks_the_key_of_its_message_and_no_other() {
    for place in ["read", "load", "decide", "closing", "save"] {
        let mut toy = toy().await;
        let word = format!("panic in {place}");
        let mut batch: Vec<_> = (0..9).map(|n| hear(&format!("k{n}"), 1, "fine")).collect();
        batch.insert(5, hear("a", 1, &word));
        batch.push(hear("a", 2, "behind"));

        assert_eq!(toy.hear(batch).await, 1, "{place}");

        for number in 0..9 {
            assert_eq!(words(&mut toy, &format!("k{number}")).await, ["fine"], "{place}");
        }
        let dump = toy.dump().await;
        assert_eq!(dump["parked"].len(), 2, "{place}");
        let stopped = &dump["parked_keys"][0];
        assert!(stopped.contains("panicked") && stopped.contains("the toy broke"), "{stopped}");
        toy.hear(vec![hear("k1", 2, "on")]).await;
        assert_eq!(words(&mut toy, "k1").await, ["fine", "on"]);
    }
}

#[tokio::test]
async fn a_command_over_which_it_panics_fails_alone() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let options = options(database.url(), "127.0.0.1:1".to_owned());
    let (mailbox, stop, loops) = running_with(options).await;
    let tell = |key: &str, word: String| {
        let (mailbox, key) = (mailbox.clone(), key.to_owned());
        async move { mailbox.submit(Command::new(ask(&key, &word))).await }
    };
    for place in ["load", "decide", "closing", "save"] {
        let (before, broken, after) = tokio::join!(
            tell("b", "1".to_owned()),
            tell("a", format!("panic in {place}")),
            tell("c", "1".to_owned())
        );
        assert_eq!(broken, Err(CommandError::Failed), "{place}");
        assert_eq!(before.unwrap().answer.status, 201);
        assert_eq!(after.unwrap().answer.status, 201);
    }
    stop.cancel();
    loops.join_all().await;
}

#[tokio::test]
async fn a_panic_after_the_commit_is_told_and_nothing_else() {
    let mut toy = toy().await;
    let batch = vec![hear("a", 1, "panic in committed"), hear("b", 1, "1")];
    assert_eq!(toy.hear(batch.clone()).await, 0);
    assert_eq!(words(&mut toy, "a").await.len(), 1);
    assert_eq!(toy.tell(ask("c", "panic in committed")).await.status, 201);
    toy.hear(batch).await;
    assert_eq!(words(&mut toy, "a").await.len(), 1, "it took effect once");
}

#[tokio::test]
async fn a_release_over_which_it_panics_leaves_the_key_parked() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let options = options(database.url(), "127.0.0.1:1".to_owned());
    let (mailbox, stop, loops) = running_with(options).await;
    let words_heard = ["undecidable", "2", "panic in decide", "4"];
    toy.hear((1..).zip(words_heard).map(|(version, word)| hear("a", version, word)).collect())
        .await;
    mailbox.discard(TOPIC, "a", "it was a test", crate::operators::by_hand()).await.unwrap();

    let end = mailbox.release(TOPIC, "a", crate::operators::by_hand()).await;

    assert!(matches!(&end, Err(OperatorError::StillStopped(park)) if park.class == "panicked"));
    assert_eq!(words(&mut toy, "a").await, ["2"]);
    assert_eq!(mailbox.parked().await.unwrap()[0].messages, 2);
    stop.cancel();
    loops.join_all().await;
}
