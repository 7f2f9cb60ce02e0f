//! Where commits are swift, they wake the relay themselves.

use std::{sync::Arc, time::Duration};

use mailbox::testing::Fixture;
use sqlx::{PgConnection, postgres::PgListener};

use crate::toy::{Toy, clock, hear, prepare};

const SECONDS: Duration = Duration::from_secs(20);

/// From now on each commit of the toy takes 5 ms at least.
pub(crate) async fn slow_down(db: &mut PgConnection) {
    let trigger = "create function slow_commit() returns trigger language plpgsql
            as $$ begin perform pg_sleep(0.005); return null; end $$;
        create constraint trigger slow_commit after insert or update on counters
            deferrable initially deferred for each row execute function slow_commit()";
    sqlx::raw_sql(trigger).execute(db).await.unwrap();
}

async fn listening(url: &str) -> PgListener {
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("outbox").await.unwrap();
    listener
}

#[tokio::test]
async fn the_first_commit_of_an_event_wakes_the_relay_itself() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let mut wake_ups = listening(&database.url()).await;

    toy.hear(vec![hear("a", 1, "1")]).await;

    let woken = tokio::time::timeout(SECONDS, wake_ups.recv()).await;
    let session: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(toy.db().await).await.unwrap();
    assert_eq!(woken.unwrap().unwrap().process_id(), session.cast_unsigned());
}

/// No loop that would send it apart runs here.
#[tokio::test]
async fn after_a_slow_commit_the_next_does_not_wake_the_relay_itself() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    slow_down(toy.db().await).await;
    let mut wake_ups = listening(&database.url()).await;

    toy.hear(vec![hear("a", 1, "1")]).await;
    toy.hear(vec![hear("a", 2, "2")]).await;
    sqlx::raw_sql("select pg_notify('outbox', 'end')").execute(toy.db().await).await.unwrap();

    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "end") {
        let woken = tokio::time::timeout(SECONDS, wake_ups.recv()).await.unwrap().unwrap();
        heard.push(woken.payload().to_owned());
    }
    assert_eq!(heard, ["", "end"]);
}
