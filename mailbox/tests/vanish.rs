//! A database host that vanishes without a word costs seconds: TCP alone would wait for a quarter
//! of an hour.

use std::{sync::Arc, time::Duration};

use backends::testing::eventually;
use mailbox::{Command, CommandError, testing::Fixture};
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::sync::Mutex;

use crate::{
    commands::running_with,
    operators::options,
    proxy::Proxy,
    toy::{Toy, ask, clock, hear, prepare, words},
    wake::slow_down,
};

/// Two limits of ten seconds for answers that do not come, and as much again on a busy machine.
const SECONDS: Duration = Duration::from_secs(40);

#[tokio::test]
async fn messages_are_settled_within_seconds_after_their_database_has_vanished() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let proxy = Proxy::before(&database.url()).await;
    let mut toy = Fixture::new(&proxy.url, Arc::new(Toy), clock);
    toy.hear(vec![hear("a", 1, "1")]).await;

    proxy.vanish();
    let heard = tokio::time::timeout(SECONDS, toy.hear(vec![hear("a", 2, "2")])).await;

    assert_eq!(heard, Ok(0), "it is heard, and nothing is set aside");
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
}

/// Wake-ups for the relay have a session of their own, and go on as well.
#[tokio::test]
async fn commands_are_refused_in_time_and_taken_within_seconds_after_their_database_has_vanished() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let proxy = Proxy::before(&database.url()).await;
    let mut options = options(proxy.url.clone(), "127.0.0.1:1".to_owned());
    options.command_deadline = Duration::from_secs(1);
    let (mailbox, stop, loops) = running_with(options).await;
    let tell = async |word: &str| mailbox.submit(Command::new(ask("a", word))).await;
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    // After a slow commit, wake-ups are sent apart: by the session that is tried here.
    slow_down(&mut db).await;
    let mut wake_ups = PgListener::connect(&database.url()).await.unwrap();
    wake_ups.listen("outbox").await.unwrap();
    assert_eq!(tell("1").await.unwrap().answer.status, 201);
    assert_eq!(tell("1, too").await.unwrap().answer.status, 201);
    let apart = async { while !is_apart(&mut wake_ups, &mut db).await {} };
    tokio::time::timeout(SECONDS, apart).await.expect("a wake-up is sent apart");

    proxy.vanish();

    assert_eq!(tell("2").await, Err(CommandError::Overloaded));
    eventually("commands to be taken again", SECONDS, async || {
        tell("3").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let woken = async {
        loop {
            // A command has one second here, which is short on a busy machine: the next one will do.
            drop(tell("more").await);
            if is_apart(&mut wake_ups, &mut db).await {
                break;
            }
        }
    };
    tokio::time::timeout(SECONDS, woken).await.expect("the relay is woken again");
    stop.cancel();
    // The sweep is among them: it has met the vanished host, too, perhaps in the middle of a round.
    tokio::time::timeout(SECONDS, loops.join_all()).await.expect("all loops end");
}

/// Whether a wake-up comes soon, and from the session that sends nothing else.
async fn is_apart(wake_ups: &mut PgListener, db: &mut PgConnection) -> bool {
    let soon = Duration::from_millis(100);
    let Ok(woken) = tokio::time::timeout(soon, wake_ups.recv()).await else { return false };
    let session = woken.unwrap().process_id().cast_signed();
    let name: Option<String> =
        sqlx::query_scalar("select application_name from pg_stat_activity where pid = $1")
            .bind(session)
            .fetch_optional(db)
            .await
            .unwrap();
    name.is_some_and(|name| name.ends_with("wake-up"))
}

/// The process dies in the middle of a statement: the server frees what its transaction holds long
/// before the statement's timeout.
#[tokio::test]
async fn a_statement_whose_process_is_gone_holds_nothing_for_long() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let sleeps = sqlx::raw_sql("select pg_sleep(600)").execute(toy.db().await);
    let asked = tokio::time::timeout(Duration::from_millis(300), sleeps).await;
    assert!(asked.is_err(), "it slept well");

    drop(toy);

    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let db = Mutex::new(&mut other);
    // The statement's own timeout is fifteen seconds.
    eventually("the statement to end", Duration::from_secs(10), async || {
        let sleeping: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'select pg_sleep%'",
        )
        .fetch_one(&mut **db.lock().await)
        .await
        .unwrap();
        if sleeping == 0 { Ok(()) } else { Err("it sleeps on") }
    })
    .await;
}
