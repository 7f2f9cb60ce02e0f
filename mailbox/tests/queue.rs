//! The queue of commands: what waits in it is taken together, and it is bounded.

use std::{sync::Arc, time::Duration};

use backends::testing::eventually;
use mailbox::{Command, CommandError, Mailbox};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::{
    commands::{key, running},
    operators::options,
    toy::{Toy, ask, prepare},
};

/// Requests that come together under one key are one batch's work, not each a batch of its own.
#[tokio::test]
async fn a_thousand_requests_under_one_key_are_few_transactions() {
    let (url, mailbox, stop, loops) = running().await;
    let mut asked = JoinSet::new();
    for _ in 0..1_000 {
        let mailbox = mailbox.clone();
        let command = Command { key: Some(key("k", 1)), ..Command::new(ask("a", "1")) };
        asked.spawn(async move { mailbox.submit(command).await.unwrap() });
    }
    let told = asked.join_all().await;
    assert_eq!(told.iter().filter(|outcome| !outcome.replayed).count(), 1);
    stop.cancel();
    loops.join_all().await;
    drop(mailbox);

    // A session says how many transactions it had before it is gone.
    let all = eventually("the mailbox's sessions to be gone", Duration::from_secs(20), async || {
        let mut db = PgConnection::connect(&url).await.unwrap();
        let (others, all): (i64, i64) = sqlx::query_as(
            "select count(*), (select xact_commit from pg_stat_database where datname = current_database())
             from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut db)
        .await
        .unwrap();
        if others == 0 { Ok(all) } else { Err(others) }
    })
    .await;
    assert!(all < 200, "{all} transactions, those that made the tables included");
}

#[tokio::test]
async fn more_commands_than_can_wait_are_refused_at_once() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut options = options(database.url(), "127.0.0.1:1".to_owned());
    options.command_deadline = Duration::from_hours(1);
    // No loop runs, so nothing is taken, and only a refusal can end a command.
    let (mailbox, _loops) = Mailbox::<Toy>::open(options, Arc::new(Toy)).await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..20_100 {
        let mailbox = mailbox.clone();
        asked.spawn(async move { mailbox.submit(Command::new(ask("a", "1"))).await });
    }

    for _ in 0..100 {
        let refused = tokio::time::timeout(Duration::from_secs(20), asked.join_next()).await;
        assert_eq!(refused.unwrap().unwrap().unwrap(), Err(CommandError::Overloaded));
    }
    assert!(asked.try_join_next().is_none(), "twenty thousand wait");
}
