//! The sweep: old weeks go, however an earlier attempt to remove them was broken off, and a session
//! that reads one keeps nothing else from being swept.

use std::{sync::Arc, time::Duration};

use backends::testing::{TestDatabase, eventually};
use mailbox::{Mailbox, Options, WeeklyTable};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    operators::options,
    toy::{Toy, prepare},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Three weeks of 1970, long past what the inbox keeps.
const OLD_WEEKS: &str =
    "select make_week('inbox', 1), make_week('inbox', 2), make_week('inbox', 3)";
const OLD_KEYS: &str = "insert into idempotency_keys
    (caller, route, key, fingerprint, status, headers, body, created_at)
    select 'c', 'r', n::text, '', 200, '[]', '', clock_timestamp() - interval '25 hours'
    from generate_series(1, 1500) as n";

struct Stage {
    database: TestDatabase,
    db: PgConnection,
    /// The service's own tables by weeks.
    weekly: &'static [WeeklyTable],
}

impl Stage {
    async fn new() -> Self {
        let database = backends::testing::database().await;
        prepare(&database.url()).await;
        let mut db = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::raw_sql(OLD_WEEKS).execute(&mut db).await.unwrap();
        Self { database, db, weekly: &[] }
    }

    /// The weeks of 1970 that are there, partitions of the inbox or not.
    async fn old_weeks(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "select relname::text from pg_class where relname ~ '^inbox_w[0-9]$' order by 1",
        )
        .fetch_all(&mut self.db)
        .await
        .unwrap()
    }

    async fn count(&mut self, rows: &'static str) -> i64 {
        sqlx::query_scalar(rows).fetch_one(&mut self.db).await.unwrap()
    }

    /// Sweeps until `is_done` says so.
    async fn sweep(&mut self, what: &str, is_done: impl AsyncFn(&mut PgConnection) -> bool) {
        let options = Options {
            weekly: self.weekly,
            ..options(self.database.url(), "127.0.0.1:1".to_owned())
        };
        let (_, loops) = Mailbox::open(options, Arc::new(Toy)).await.unwrap();
        let sweep = loops.into_iter().find(|it| it.name == "sweep").unwrap().run;
        let stop = CancellationToken::new();
        let sweeping = sweep(stop.clone());
        let url = self.database.url();
        let watching = async {
            eventually(what, PATIENCE, || async {
                let mut db = PgConnection::connect(&url).await.map_err(|it| it.to_string())?;
                if is_done(&mut db).await { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;
            stop.cancel();
        };
        let (swept, ()) = tokio::join!(sweeping, watching);
        swept.unwrap();
    }
}

async fn is_zero(db: &mut PgConnection, rows: &'static str) -> bool {
    let count: i64 = sqlx::query_scalar(rows).fetch_one(db).await.unwrap();
    count == 0
}

const WEEKS: &str = "select count(*) from pg_class where relname ~ '^inbox_w[0-9]$'";
const KEYS: &str = "select count(*) from idempotency_keys";

#[tokio::test]
async fn old_weeks_go_and_the_present_ones_stay() {
    let mut stage = Stage::new().await;
    let present = "select count(*) from pg_inherits where inhparent = 'inbox'::regclass";
    let before = stage.count(present).await;
    stage.sweep("the old weeks to go", async |db| is_zero(db, WEEKS).await).await;
    assert_eq!(stage.count(present).await, before - 3);
}

#[tokio::test]
async fn a_table_of_the_service_keeps_the_weeks_that_it_asks_for() {
    let mut stage = Stage::new().await;
    let tables = "create table facts (id uuid primary key) partition by range (id);
        create table facts_of_all (id uuid primary key) partition by range (id);
        select make_weeks('facts', 4), make_weeks('facts_of_all', 4)";
    sqlx::raw_sql(tables).execute(&mut stage.db).await.unwrap();
    stage.weekly = &[
        WeeklyTable { name: "facts_of_all", behind: 0, kept: None },
        WeeklyTable { name: "facts", behind: 1, kept: Some(1) },
    ];

    // Last week, this one and the next two stay.
    let surplus = "select count(*) - 4 from pg_inherits where inhparent = 'facts'::regclass";
    stage.sweep("three weeks to go", async |db| is_zero(db, surplus).await).await;

    let all = "select count(*) from pg_inherits where inhparent = 'facts_of_all'::regclass";
    assert_eq!(stage.count(all).await, 7);
}

#[tokio::test]
async fn a_week_that_was_detached_but_not_dropped_is_found() {
    let mut stage = Stage::new().await;
    let broken_off = "alter table inbox detach partition inbox_w2";
    sqlx::raw_sql(broken_off).execute(&mut stage.db).await.unwrap();
    assert_eq!(stage.old_weeks().await.len(), 3);
    stage.sweep("the orphan to go, too", async |db| is_zero(db, WEEKS).await).await;
}

#[tokio::test]
async fn a_week_whose_detaching_was_broken_off_goes_first() {
    let mut stage = Stage::new().await;
    let mut reader = PgConnection::connect(&stage.database.url()).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::raw_sql("select from inbox_w3").execute(&mut *reading).await.unwrap();
    let impatient = "set lock_timeout = '100ms'";
    sqlx::raw_sql(impatient).execute(&mut stage.db).await.unwrap();
    let detach = "alter table inbox detach partition inbox_w3 concurrently";
    sqlx::raw_sql(detach).execute(&mut stage.db).await.unwrap_err();
    let pending = "select count(*) from pg_inherits where inhdetachpending";
    assert_eq!(stage.count(pending).await, 1);
    reading.rollback().await.unwrap();

    stage.sweep("the pending week and the others to go", async |db| is_zero(db, WEEKS).await).await;
}

#[tokio::test]
async fn who_reads_an_old_week_keeps_that_week_and_nothing_else() {
    let mut stage = Stage::new().await;
    sqlx::raw_sql(OLD_KEYS).execute(&mut stage.db).await.unwrap();
    let mut reader = PgConnection::connect(&stage.database.url()).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::raw_sql("select from inbox_w1").execute(&mut *reading).await.unwrap();

    stage
        .sweep("expired keys to go while somebody reads a week", async |db| {
            is_zero(db, KEYS).await && !is_zero(db, WEEKS).await
        })
        .await;
    eventually("a week to be made meanwhile", PATIENCE, || async {
        let mut db = PgConnection::connect(&stage.database.url()).await.unwrap();
        let made = sqlx::raw_sql("select make_week('inbox', 9)").execute(&mut db).await;
        made.map(drop).map_err(|error| error.to_string())
    })
    .await;
    reading.rollback().await.unwrap();
    stage.sweep("all old weeks to go", async |db| is_zero(db, WEEKS).await).await;
}
