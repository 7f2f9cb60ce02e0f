//! Nothing is skipped and each key keeps its order, however transactions overlap.

use rand::Rng;
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::stage::{Reader, Stage, prepare, run, say, small_leaves};

#[tokio::test(flavor = "multi_thread")]
async fn what_services_wrote_before_the_first_start_is_published() {
    let stage = Stage::new().await;
    let mut writer = stage.session().await;
    for version in 1..=20 {
        say(&mut writer, "early", version).await;
    }

    let relay = stage.relay(&[]);

    stage.reader().read(20).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_at_a_lower_position_is_published() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    let (mut early, mut late) = (stage.session().await, stage.session().await);
    let mut reader = stage.reader();

    run(&mut late, "begin").await;
    say(&mut late, "late", 1).await;
    for version in 1..=50 {
        say(&mut early, "early", version).await;
    }
    reader.read(50).await;
    run(&mut late, "commit").await;

    reader.read(51).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}

/// The lower transaction id commits the key's second event: ordered by transaction id, version 2
/// would come before version 1.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_key_is_that_of_its_lock_not_of_transaction_ids() {
    let stage = Stage::new().await;
    let (mut older, mut newer) = (stage.session().await, stage.session().await);
    run(&mut older, "begin; select pg_current_xact_id()").await;
    run(&mut newer, "begin").await;
    say(&mut newer, "key", 1).await;
    run(&mut newer, "commit").await;
    say(&mut older, "key", 2).await;
    run(&mut older, "commit").await;

    let relay = stage.relay(&[]);

    stage.reader().read(2).await;
    relay.stop().await;
}

/// Writers that lock their key, some of which roll back, over leaves that end while they write, and
/// relays that come and go.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_and_restarts_lose_and_reorder_nothing() {
    const WRITERS: u64 = 8;
    const EVENTS: u64 = 100;
    let stage = Stage::new().await;
    let mut admin = stage.session().await;
    small_leaves(&mut admin).await;
    run(
        &mut admin,
        "select make_outbox_leaf(n * 100, (n + 1) * 100) from generate_series(10, 40) as n;
         create table roots (root int primary key, version bigint not null);
         insert into roots select n, 0 from generate_series(1, 5) as n",
    )
    .await;

    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let mut session = stage.session().await;
        writers.spawn(async move {
            for _ in 0..EVENTS {
                let (root, fails) = {
                    let mut random = rand::rng();
                    (random.random_range(1..=5), random.random_bool(0.2))
                };
                let end = if fails { "rollback" } else { "commit" };
                // A statement before the lock, as the insert into an inbox would be: the
                // transaction id is older than the lock.
                let text = format!(
                    "begin;
                     select pg_current_xact_id();
                     update roots set version = version + 1 where root = {root};
                     insert into outbox (event_id, key, version, type, payload)
                     select gen_random_uuid(), root::text::bytea, version, 1, 'news'
                     from roots where root = {root};
                     {end}"
                );
                run(&mut session, &text).await;
            }
        });
    }
    let args = ["--tidy-every", "20ms", "--tick-every", "20ms"];
    let mut reader = stage.reader();
    for _ in 0..3 {
        let relay = stage.relay(&args);
        // Less in all than is written, so that each relay has something to publish.
        let more = reader.events + 50;
        reader.read(more).await;
        relay.kill().await;
    }
    let relay = stage.relay(&args);
    while let Some(end) = writers.join_next().await {
        end.unwrap();
    }

    let said = crate::stage::number(&mut admin, "select sum(version)::bigint from roots").await;
    let said = u64::try_from(said).unwrap();
    reader.read(said).await;
    reader.drain().await;
    assert_eq!(reader.events, said);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_serves_several_databases() {
    let stage = Stage::new().await;
    let other = backends::testing::database().await;
    prepare(&other.url(), &stage.topic).await;
    let databases = [("one", &*stage.url()), ("other", &*other.url())];
    let relay =
        crate::stage::RunningRelay::start(&crate::stage::options(&stage.kafka, &databases, &[]));

    say(&mut stage.session().await, "one", 1).await;
    say(&mut sqlx::PgConnection::connect(&other.url()).await.unwrap(), "other", 1).await;

    Reader::new(&stage.kafka, &[&stage.topic], 3).read(2).await;
    relay.stop().await;
}
