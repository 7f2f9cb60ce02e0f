//! Limits on what is set aside: beyond them nothing more is consumed, and the mailbox says so.

use std::{sync::Arc, time::Duration};

use backends::testing::{TestDatabase, eventually};
use mailbox::{Mailbox, testing::Fixture};
use sqlx::{Connection, PgConnection};

use crate::{
    kafka::start,
    toy::{Toy, clock, prepare},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// No broker is needed to see whether the mailbox would consume.
const NO_KAFKA: &str = "127.0.0.1:1";

async fn a_database_with(rows: &'static str) -> (TestDatabase, Fixture<Toy>) {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    // A session without the batches' timeouts, because these are many rows.
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(rows).execute(&mut db).await.unwrap();
    let toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    (database, toy)
}

async fn until(mailbox: &Mailbox<Toy>, what: &str, is_so: impl Fn(Option<&str>) -> bool) {
    eventually(what, PATIENCE, || async {
        let why = mailbox.flood();
        if is_so(why.as_deref()) { Ok(()) } else { Err(format!("{why:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_key_with_more_messages_than_anybody_looks_through_stops_the_consumer() {
    let heap =
        "insert into parked_keys (topic, key, class, reason) values ('toy.v1', 'none', 'c', 'r');
        insert into parked (topic, key, \"partition\", \"offset\", payload, digest)
        select 'toy.v1', 'none', 0, n, '', '' from generate_series(1, 50000) as n";
    let (database, mut toy) = a_database_with(heap).await;
    let running = start(&database.url(), NO_KAFKA).await;
    let names_it = |why: Option<&str>| why.is_some_and(|why| why.contains("key none of toy.v1"));
    until(running.mailbox(), "the key to be named", names_it).await;

    running
        .mailbox()
        .discard("toy.v1", "none", "one less", crate::operators::by_hand())
        .await
        .unwrap();
    until(running.mailbox(), "it to be over", |why| why.is_none()).await;
    running.end().await;
    let left = sqlx::query_scalar("select count(*) from parked");
    let left: i64 = left.fetch_one(toy.db().await).await.unwrap();
    assert_eq!(left, 49_999);
}

#[tokio::test]
async fn a_key_with_too_many_bytes_stops_the_consumer() {
    let heap =
        "insert into parked_keys (topic, key, class, reason) values ('toy.v1', 'a', 'c', 'r');
        alter table parked alter payload set compression lz4;
        insert into parked (topic, key, \"partition\", \"offset\", payload, digest)
        select 'toy.v1', 'a', 0, n, decode(repeat('00', 16777216), 'hex'), ''
        from generate_series(1, 64) as n";
    let (database, _toy) = a_database_with(heap).await;
    let running = start(&database.url(), NO_KAFKA).await;
    let tells_bytes = |why: Option<&str>| why.is_some_and(|why| why.contains("1073741824 bytes"));
    until(running.mailbox(), "the bytes to be told", tells_bytes).await;
    running.end().await;
}

#[tokio::test]
async fn too_many_events_of_unknown_types_stop_the_consumer_until_they_are_taken() {
    let kept = "insert into unknown_events
            (topic, key, \"partition\", \"offset\", event_id, event_type, source, version, payload)
        select 'toy.v1', 'k' || n % 1000, 0, n, gen_random_uuid(), 'toy.v1.Tripled', '/toy', n, ''
        from generate_series(1, 100000) as n";
    let (database, mut toy) = a_database_with(kept).await;
    let running = start(&database.url(), NO_KAFKA).await;
    let tells_it = |why: Option<&str>| why.is_some_and(|why| why.contains("unknown types"));
    until(running.mailbox(), "it to be told", tells_it).await;

    let taken = "delete from unknown_events where key = 'k1'";
    sqlx::raw_sql(taken).execute(toy.db().await).await.unwrap();
    until(running.mailbox(), "it to be over", |why| why.is_none()).await;
    running.end().await;
}
