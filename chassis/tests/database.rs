//! The pool loses no commit when its borrowers go away halfway.

use std::{collections::HashSet, task::Poll, time::Duration};

use axum::http::header;
use chassis::{Health, Problem, Tasks, database};
use sqlx::{Executor, PgPool, Row};

async fn next_id(pool: &PgPool) -> i64 {
    pool.fetch_one("insert into acked default values returning id").await.unwrap().get(0)
}

/// Polls a future so many times and then drops it, as for a client that goes away halfway.
async fn polled<F: Future>(future: F, mut steps: u32) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        if steps == 0 {
            return Poll::Ready(None);
        }
        steps -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_although_transactions_were_dropped_halfway() {
    let test = backends::testing::database().await;
    let pool = database::connect_pool(&test.url(), 4).await.unwrap();
    pool.execute("create table acked (id bigint generated always as identity)").await.unwrap();
    let tasks = Tasks::new(Duration::from_secs(30));

    let detached = tasks.detached();
    let spoilers = (0..8_u32).map(|n| {
        let (detached, pool) = (detached.clone(), pool.clone());
        async move {
            let spoil = async move {
                for step in 0..200 {
                    drop(polled(pool.begin(), (step + n) % 5).await);
                    tokio::task::yield_now().await;
                }
            };
            detached.run(spoil).await.unwrap();
        }
    });
    let acked = async {
        let mut acked = HashSet::new();
        for _ in 0..400 {
            acked.insert(next_id(&pool).await);
        }
        acked
    };
    let (_, acked) = futures::join!(futures::future::join_all(spoilers), acked);

    pool.close().await;
    let fresh = database::connect_pool(&test.url(), 1).await.unwrap();
    let rows = fresh.fetch_all("select id from acked").await.unwrap();
    let kept: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(acked.difference(&kept).count(), 0, "acknowledged rows are missing");
}

#[tokio::test]
async fn a_database_that_is_away_shows_in_the_health() {
    let server = backends::testing::private_postgres().await;
    let tasks = Tasks::new(Duration::from_secs(1));
    let health = Health::new("test-svc", tasks.waiting(), tasks.stop_token());
    database::watch(&health, &server.url("postgres")).unwrap();
    assert!(health.report().await.is_healthy());

    server.kill9().unwrap();
    until(&health, false).await;

    server.restart().await.unwrap();
    until(&health, true).await;
}

async fn until(health: &Health, healthy: bool) {
    backends::testing::eventually("the health", Duration::from_secs(10), async || {
        let report = health.report().await;
        if report.is_healthy() == healthy { Ok(()) } else { Err(format!("{report:?}")) }
    })
    .await;
}

async fn answer(pool: &PgPool) -> Result<i32, Problem> {
    let mut db = pool.acquire().await?;
    Ok(db.fetch_one("select 42").await?.get(0))
}

/// Whether a problem tells the caller to try again.
fn is_overload(problem: &Problem) -> bool {
    let has_retry_after = problem.headers().iter().any(|(name, _)| *name == header::RETRY_AFTER);
    problem.to_parts().0 == 503 && has_retry_after
}

/// Over TCP the end of a session is found by the next statement, as that statement's own error.
#[tokio::test]
async fn sessions_that_are_terminated_are_overload_once_at_most_and_heal() {
    let test = backends::testing::database().await;
    let over_tcp: i64 = {
        let pool = database::connect_pool(&test.url(), 1).await.unwrap();
        pool.fetch_one("select (inet_server_addr() is not null)::int::bigint").await.unwrap().get(0)
    };
    assert_eq!(over_tcp, 1, "the tests connect as production does");
    let pool = database::connect_pool(&test.url(), 4).await.unwrap();
    let mut borrowed = Vec::new();
    for _ in 0..4 {
        borrowed.push(pool.acquire().await.unwrap());
    }
    drop(borrowed);
    let fresh = database::connect_pool(&test.url(), 1).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    fresh.execute(end).await.unwrap();

    let mut failed = 0;
    for _ in 0..20 {
        match answer(&pool).await {
            Ok(answer) => assert_eq!(answer, 42),
            Err(problem) => {
                assert!(is_overload(&problem), "{problem:?}");
                failed += 1;
            }
        }
    }
    assert!(failed <= 4, "each connection fails one request at most: {failed}");
    assert_eq!(answer(&pool).await.unwrap(), 42);
}

#[tokio::test]
async fn a_column_that_changes_fails_one_request_of_a_connection_at_most() {
    let test = backends::testing::database().await;
    let pool = database::connect_pool(&test.url(), 4).await.unwrap();
    pool.execute("create table things (name varchar(10)); insert into things values ('a')")
        .await
        .unwrap();
    let look = async || -> Result<String, Problem> {
        let mut db = pool.acquire().await?;
        let row = sqlx::query_scalar("select name from things").fetch_one(&mut *db).await?;
        Ok(row)
    };
    // All four connections have the plan in their caches.
    futures::future::join_all((0..16).map(|_| look())).await;
    pool.execute("alter table things alter name type varchar(500)").await.unwrap();

    let mut failed = 0;
    for _ in 0..20 {
        if let Err(problem) = look().await {
            assert!(is_overload(&problem), "{problem:?}");
            failed += 1;
        }
    }
    assert!((1..=4).contains(&failed), "once a connection at most: {failed}");
    assert_eq!(look().await.unwrap(), "a");
}

#[tokio::test]
async fn what_passes_is_overload_and_what_is_a_bug_is_not() {
    let test = backends::testing::database().await;
    let pool = database::connect_pool(&test.url(), 1).await.unwrap();
    let passing = [
        "08006", "0A000", "25006", "26000", "28000", "28P01", "3D000", "40001", "40P01", "53300",
        "55000", "55P03", "57014", "57P01", "57P03", "57P05", "58030", "XX000",
    ];
    let bugs = ["22001", "23505", "42703", "42P01", "P0001"];
    for (codes, overload) in [(passing.as_slice(), true), (bugs.as_slice(), false)] {
        for code in codes {
            let raise = format!("do $$ begin raise exception using errcode = '{code}'; end $$");
            let raised = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&pool).await;
            let problem = Problem::from(raised.unwrap_err());
            assert_eq!(is_overload(&problem), overload, "{code}: {problem:?}");
        }
    }
}
