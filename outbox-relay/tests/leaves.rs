//! Leaves go when nobody needs them, and not before.

use std::time::Duration;

use backends::testing;
use rdkafka::mocking::MockCluster;
use sqlx::{Connection, PgConnection};

use crate::stage::{
    Reader, Running, Stage, number, options, prepare, run, say, small_leaves, until,
};

/// Everything may go at once.
const EAGER: [&str; 6] =
    ["--outbox-retention", "0s", "--tidy-every", "50ms", "--tick-every", "20ms"];

async fn leaf_count(session: &mut PgConnection) -> i64 {
    number(session, "select count(*) from outbox_leaf").await
}

/// Fills leaves up to a position.
async fn fill(session: &mut PgConnection, reader: &mut Reader, to: i64) {
    let from =
        number(session, "select coalesce(max(version), 0) from outbox where key = 'key'").await;
    for version in from + 1..=to {
        say(session, "key", version).await;
    }
    reader.read(u64::try_from(to).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shipped_leaves_are_sealed_and_dropped_but_for_the_last() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    small_leaves(&mut session).await;
    let relay = stage.relay(&EAGER);

    fill(&mut session, &mut stage.reader(), 450).await;

    // Position 450 is in the fifth; two stay behind it.
    until(&mut session, "two leaves gone", "(select min(first_pos) = 300 from outbox_leaf)").await;
    assert_eq!(leaf_count(&mut session).await, 7);
    assert_eq!(number(&mut session, "select min(pos) from outbox").await, 300);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_budget_drops_what_retention_would_keep() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    small_leaves(&mut session).await;
    let args = ["--outbox-size", "1KiB", "--tidy-every", "50ms", "--tick-every", "20ms"];
    let relay = stage.relay(&args);

    fill(&mut session, &mut stage.reader(), 450).await;

    until(&mut session, "two leaves gone", "(select min(first_pos) = 300 from outbox_leaf)").await;
    relay.stop().await;
}

/// The writer holds a position in a leaf that everyone else has left long ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_with_a_writer_inside_is_neither_sealed_nor_lost() {
    let stage = Stage::new().await;
    let (mut session, mut straddler) = (stage.session().await, stage.session().await);
    small_leaves(&mut session).await;
    let relay = stage.relay(&EAGER);
    let mut reader = stage.reader();

    // Others have begun after it, so its id is no longer the next snapshot's xmin when it says.
    run(&mut straddler, "begin; select pg_current_xact_id()").await;
    for version in 1..=50 {
        say(&mut session, "early", version).await;
    }
    say(&mut straddler, "straddler", 1).await;
    for version in 1..=500 {
        say(&mut session, "late", version).await;
    }
    reader.read(550).await;
    until(&mut session, "an end noted", "(select count(seal_xid) >= 4 from outbox_leaf)").await;
    let noted = number(&mut session, "select max(tick_id) from relay_tick").await;
    say(&mut session, "late", 501).await;
    let ticked = format!("(select max(tick_id) from relay_tick) > {noted}");
    until(&mut session, "a later tick", &ticked).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(number(&mut session, "select count(sealed_at) from outbox_leaf").await, 0);

    run(&mut straddler, "commit").await;

    reader.read(552).await;
    until(&mut session, "leaves gone", "(select min(first_pos) >= 200 from outbox_leaf)").await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}

/// Rows that Kafka has not acknowledged keep their leaf, whatever its age.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_no_durable_tick_covers_is_not_sealed() {
    let kafka = MockCluster::new(1).unwrap();
    kafka.create_topic("covered", 1, 1).unwrap();
    let database = testing::database().await;
    prepare(&database.url(), "covered").await;
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    small_leaves(&mut session).await;
    let databases = [("covered", &*database.url())];
    let relay = Running::start(&options(&kafka.bootstrap_servers(), &databases, &EAGER));
    relay.leads().await;

    kafka.broker_down(1).unwrap();
    for version in 1..=450 {
        say(&mut session, "key", version).await;
    }
    until(&mut session, "ends noted", "(select count(seal_xid) from outbox_leaf) = 4").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(number(&mut session, "select count(sealed_at) from outbox_leaf").await, 0);

    kafka.broker_up(1).unwrap();
    Reader::new(&kafka.bootstrap_servers(), &["covered"], 1).read(450).await;
    until(&mut session, "leaves gone", "(select min(first_pos) from outbox_leaf) = 300").await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_detach_is_ended_at_the_next_start() {
    let stage = Stage::new().await;
    let (mut session, mut looks) = (stage.session().await, stage.session().await);
    small_leaves(&mut session).await;
    run(&mut looks, "begin; select count(*) from outbox").await;
    let relay = stage.relay(&EAGER);
    let mut reader = stage.reader();
    fill(&mut session, &mut reader, 450).await;
    let pending = "select count(*) from pg_inherits where inhdetachpending";
    until(&mut session, "a detach that waits", &format!("({pending}) = 1")).await;

    relay.kill().await;
    let interrupt = "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and query like '%detach partition%concurrently'
           and pid <> pg_backend_pid()";
    assert_eq!(number(&mut session, interrupt).await, 1);
    assert_eq!(number(&mut session, pending).await, 1);

    // Neither the pending detach nor the reader that it waits for stalls anything.
    let relay = stage.relay(&EAGER);
    fill(&mut session, &mut reader, 460).await;
    run(&mut looks, "commit").await;
    until(&mut session, "two leaves gone", "(select min(first_pos) = 300 from outbox_leaf)").await;
    let left = "to_regclass('outbox_000000000000000001') is null";
    until(&mut session, "the table gone", left).await;
    relay.stop().await;
}
