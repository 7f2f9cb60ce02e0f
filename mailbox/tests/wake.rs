//! Where commits are swift, they wake the relay themselves.

use std::{sync::Arc, time::Duration};

use mailbox::testing::Fixture;
use sqlx::postgres::PgListener;

use crate::toy::{Toy, clock, hear, prepare};

#[tokio::test]
async fn the_first_commit_of_an_event_wakes_the_relay_itself() {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let mut toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let mut wake_ups = PgListener::connect(&database.url()).await.unwrap();
    wake_ups.listen("outbox").await.unwrap();

    toy.hear(vec![hear("a", 1, "1")]).await;

    let woken = tokio::time::timeout(Duration::from_secs(20), wake_ups.recv()).await;
    let session: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(toy.db().await).await.unwrap();
    assert_eq!(woken.unwrap().unwrap().process_id(), session.cast_unsigned());
}
