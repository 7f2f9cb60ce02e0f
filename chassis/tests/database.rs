//! The pool loses nothing when its borrowers go away halfway.

use std::{
    collections::HashSet,
    task::Poll,
    time::{Duration, Instant},
};

use chassis::{Health, Tasks, database};
use sqlx::{Executor, PgPool, Row};

async fn next_id(pool: &PgPool) -> i64 {
    pool.fetch_one("insert into acked default values returning id").await.unwrap().get(0)
}

/// Drives a future so many steps and then drops it: a client that goes away halfway.
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
    eventually(&health, false).await;

    server.restart().await.unwrap();
    eventually(&health, true).await;
}

async fn eventually(health: &Health, healthy: bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let report = health.report().await;
        if report.is_healthy() == healthy {
            return;
        }
        assert!(Instant::now() < deadline, "still {report:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
