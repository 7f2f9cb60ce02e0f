//! PostgreSQL: durable, quick to have, survives a crash.

use std::time::Duration;

use backends::testing;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

async fn shown(url: &str, setting: &str) -> String {
    let mut db = PgConnection::connect(url).await.unwrap();
    let statement = AssertSqlSafe(format!("show {setting}"));
    sqlx::query_scalar(statement).fetch_one(&mut db).await.unwrap()
}

#[tokio::test]
async fn databases_are_apart_and_durable() {
    let (one, other) = (testing::database().await, testing::database().await);

    let mut db = PgConnection::connect(&one.url()).await.unwrap();
    db.execute("create table only_here (id int)").await.unwrap();

    let mut db = PgConnection::connect(&other.url()).await.unwrap();
    assert!(db.execute("select * from only_here").await.is_err());
    for (setting, value) in [("fsync", "on"), ("synchronous_commit", "on"), ("jit", "off")] {
        assert_eq!(shown(&other.url(), setting).await, value, "{setting}");
    }
}

#[tokio::test]
async fn what_was_committed_survives_a_crash() {
    let server = testing::private_postgres().await;
    let mut db = PgConnection::connect(&server.url("postgres")).await.unwrap();
    db.execute("create table kept (id int)").await.unwrap();
    db.execute("insert into kept values (7)").await.unwrap();

    server.kill9().unwrap();
    testing::eventually("the session is gone", Duration::from_secs(10), async || {
        match PgConnection::connect(&server.url("postgres")).await {
            Ok(_) => Err("a server that answers"),
            Err(_) => Ok(()),
        }
    })
    .await;
    server.restart().await.unwrap();

    let mut db = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let kept: i32 = sqlx::query_scalar("select id from kept").fetch_one(&mut db).await.unwrap();
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn a_service_owns_its_database_and_may_not_idle_in_a_transaction() {
    let server = testing::private_postgres().await;
    let owned = [("orders", "order_svc"), ("stock", "inventory_svc")];

    let (url, owned) = (server.url("postgres"), server.config().owned(&owned));
    backends::postgres::create_owned(&url, &owned).await.unwrap();
    backends::postgres::create_owned(&url, &owned).await.unwrap();

    let url = server.config().url_as("order_svc", "orders");
    PgConnection::connect(&url).await.unwrap().execute("create table t ()").await.unwrap();
    assert_eq!(shown(&url, "idle_in_transaction_session_timeout").await, "5s");
    let superuser = server.url("orders");
    assert_eq!(shown(&superuser, "idle_in_transaction_session_timeout").await, "0");
    let intruder = url.replace(&server.config().password, "guess");
    assert!(PgConnection::connect(&intruder).await.is_err());
}
