//! Leaves are dropped when nobody needs them, and not before.

use backends::testing;
use rdkafka::mocking::MockCluster;
use sqlx::{Connection, PgConnection};

use crate::stage::{
    Reader, RunningRelay, Stage, number, options, prepare, run, say, small_leaves, until,
};

/// Settings with which everything may be dropped at once.
const EAGER: [&str; 6] =
    ["--outbox-retention", "0s", "--tidy-every", "50ms", "--tick-every", "20ms"];

async fn leaf_count(session: &mut PgConnection) -> i64 {
    number(session, "select count(*) from outbox_leaf").await
}

/// Fills leaves up to a position, with one key's events.
async fn fill(session: &mut PgConnection, reader: &mut Reader, to: i64) {
    let from =
        number(session, "select coalesce(max(version), 0) from outbox where key = 'key'").await;
    for version in from + 1..=to {
        say(session, "key", version).await;
    }
    reader.read(u64::try_from(to).unwrap()).await;
}

/// Waits until the relay has tried to seal several times more.
async fn until_sealing_is_tried(session: &mut PgConnection) {
    let count = "create sequence tries;
         create function count_try() returns trigger language plpgsql as
         $$ begin perform nextval('tries'); return null; end $$;
         create trigger count_try before update of sealed_at on outbox_leaf
         for each statement execute function count_try()";
    run(session, count).await;
    until(session, "sealing to be tried", "(select last_value from tries) >= 3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_leaves_are_sealed_and_dropped_but_for_the_last() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    small_leaves(&mut session).await;
    let relay = stage.relay(&EAGER);

    fill(&mut session, &mut stage.reader(), 450).await;

    // Position 450 is in the fifth leaf, and two leaves are kept.
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

/// The writer holds a position in a leaf that all others have left long ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_with_a_writer_inside_is_neither_sealed_nor_lost() {
    let stage = Stage::new().await;
    let (mut session, mut straddler) = (stage.session().await, stage.session().await);
    small_leaves(&mut session).await;
    let relay = stage.relay(&EAGER);
    let mut reader = stage.reader();

    // Other transactions begin after it, so its id is not the next snapshot's xmin when it writes.
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
    until_sealing_is_tried(&mut session).await;
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
    let relay = RunningRelay::start(&options(&kafka.bootstrap_servers(), &databases, &EAGER));
    relay.leads().await;

    kafka.broker_down(1).unwrap();
    for version in 1..=450 {
        say(&mut session, "key", version).await;
    }
    until(&mut session, "ends noted", "(select count(seal_xid) from outbox_leaf) = 4").await;
    until_sealing_is_tried(&mut session).await;
    assert_eq!(number(&mut session, "select count(sealed_at) from outbox_leaf").await, 0);

    kafka.broker_up(1).unwrap();
    Reader::new(&kafka.bootstrap_servers(), &["covered"], 1).read(450).await;
    until(&mut session, "leaves gone", "(select min(first_pos) from outbox_leaf) = 300").await;
    relay.stop().await;
}

const PENDING: &str = "select count(*) from pg_inherits where inhdetachpending";

/// Makes a leaf as a service's sweep does, with the same lock timeout.
async fn make_leaf(session: &mut PgConnection) {
    run(session, "set lock_timeout = '8s'; select make_outbox_leaf(1000, 1100)").await;
}

/// Whether the relay holds the lock that the making of leaves needs, and waits for another session.
const RETIRE_HOLDS_THE_PARENT: &str = "exists (
    select from pg_locks
    join pg_stat_activity using (pid)
    where application_name = 'outbox-relay' and datname = current_database()
      and wait_event_type = 'Lock' and relation = 'outbox'::regclass
      and mode = 'ShareUpdateExclusiveLock' and granted
  )";

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_detach_keeps_no_leaf_from_being_made_and_is_ended_later() {
    let stage = Stage::new().await;
    let (mut session, mut looks) = (stage.session().await, stage.session().await);
    small_leaves(&mut session).await;
    run(&mut looks, "begin isolation level repeatable read; select count(*) from outbox").await;
    let relay = stage.relay(&EAGER);
    let mut reader = stage.reader();
    fill(&mut session, &mut reader, 450).await;
    until(&mut session, "a detach that waits", &format!("({PENDING}) = 1")).await;

    relay.kill().await;
    // A backend that waits for a lock may outlive its client by a second.
    let interrupt = "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name = 'outbox-relay'";
    number(&mut session, interrupt).await;
    let relay = stage.relay(&EAGER);
    until(&mut session, "a detach that ends", RETIRE_HOLDS_THE_PARENT).await;

    make_leaf(&mut session).await;
    assert_eq!(number(&mut session, PENDING).await, 1, "the reader had ended");
    fill(&mut session, &mut reader, 460).await;
    run(&mut looks, "commit").await;
    until(&mut session, "two leaves gone", "(select min(first_pos) = 300 from outbox_leaf)").await;
    let left = "to_regclass('outbox_000000000000000001') is null";
    until(&mut session, "the table gone", left).await;
    relay.stop().await;
}

/// A detach waits for the sessions that read, then takes the parent's lock. It waits for a dump
/// that began meanwhile with that lock in hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_begins_during_a_detach_keeps_no_leaf_from_being_made() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let (mut looks, mut dump) = (stage.session().await, stage.session().await);
    small_leaves(&mut session).await;
    run(&mut looks, "begin; select count(*) from outbox").await;
    let relay = stage.relay(&EAGER);
    let mut reader = stage.reader();
    fill(&mut session, &mut reader, 450).await;
    until(&mut session, "a detach that waits", &format!("({PENDING}) = 1")).await;

    run(
        &mut dump,
        "begin isolation level repeatable read;
         lock table outbox_000000000000000001 in access share mode;
         lock table outbox in access share mode",
    )
    .await;
    run(&mut looks, "commit").await;
    until(&mut session, "a detach that meets the dump", RETIRE_HOLDS_THE_PARENT).await;

    make_leaf(&mut session).await;
    assert_eq!(number(&mut session, PENDING).await, 1, "the dump had ended");
    run(&mut dump, "commit").await;
    until(&mut session, "two leaves gone", "(select min(first_pos) = 300 from outbox_leaf)").await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_and_looking_take_one_session_that_stays_open() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&EAGER);
    relay.leads().await;
    let retires = "from pg_stat_activity where datname = current_database()
         and application_name = 'outbox-relay' and query like '%retire%'";
    until(&mut session, "a round", &format!("(select count(*) {retires}) = 1")).await;
    let first = number(&mut session, &format!("select pid::bigint {retires}")).await;
    let began = "select extract(epoch from max(state_change))::float8::bigint";
    let before = number(&mut session, &format!("{began} {retires}")).await;

    let later = format!("({began} {retires}) > {before} + 1");
    until(&mut session, "later rounds", &later).await;

    assert_eq!(number(&mut session, &format!("select pid::bigint {retires}")).await, first);
    relay.stop().await;
}
