//! One relay leads, others stand by; two that lead at once only repeat.

use std::fs;

use backends::testing;
use outbox_relay::LanePhase;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::stage::{RunningRelay, SOON, Stage, number, options, prepare, run, say};

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_at_once_repeat_and_neither_lose_nor_reorder() {
    let stage = Stage::new().await;
    let mut other = stage.options(&["--tick-every", "20ms"]);
    other.databases[0].lock += 1;
    let (one, other) = (stage.relay(&["--tick-every", "20ms"]), RunningRelay::start(&other));
    one.leads().await;
    other.leads().await;

    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let mut session = stage.session().await;
        writers.spawn(async move {
            for version in 1..=250 {
                say(&mut session, &format!("key-{writer}"), version).await;
            }
        });
    }
    while let Some(end) = writers.join_next().await {
        end.unwrap();
    }

    let mut reader = stage.reader();
    reader.read(1000).await;
    reader.drain().await;
    assert!(reader.repeats > 0, "only one was at work");
    one.kill().await;
    other.kill().await;

    // Whichever tick was written last, it is true.
    let mut session = stage.session().await;
    say(&mut session, "key-0", 251).await;
    let next = stage.relay(&[]);
    reader.read(1001).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_takes_over() {
    let stage = Stage::new().await;
    let leader = stage.relay(&[]);
    leader.leads().await;
    let successor = stage.relay(&[]);
    successor.until(0, |state| *state == LanePhase::StandsBy).await;
    let mut session = stage.session().await;
    say(&mut session, "key", 1).await;
    let mut reader = stage.reader();
    reader.read(1).await;
    let epoch = "select epoch from relay_tick order by tick_id desc limit 1";
    let before = number(&mut session, epoch).await;

    leader.kill().await;

    successor.leads().await;
    say(&mut session, "key", 2).await;
    reader.read(2).await;
    assert_eq!(number(&mut session, epoch).await, before + 1);
    successor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_replaced_and_starts_from_the_last_tick() {
    let stage = Stage::new().await;
    // Without later ticks, every new session publishes everything again.
    let relay = stage.relay(&["--tick-every", "1h"]);
    let mut session = stage.session().await;
    let mut reader = stage.reader();
    for version in 1..=5 {
        say(&mut session, "key", version).await;
        reader.read(u64::try_from(version).unwrap()).await;
        let lost = "select count(pg_terminate_backend(pid)) from pg_locks
             where locktype = 'advisory' and granted
               and database = (select oid from pg_database where datname = current_database())";
        assert_eq!(number(&mut session, lost).await, 1);
    }

    reader.drain().await;
    assert!(reader.repeats >= 4, "the cursor outlived its session: {} repeats", reader.repeats);
    relay.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_in_order_repeats_nothing() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let mut reader = stage.reader();
    for version in 1..=3 {
        let relay = stage.relay(&["--tick-every", "1h"]);
        say(&mut session, "key", version).await;
        reader.read(u64::try_from(version).unwrap()).await;
        relay.stop().await;
    }

    let relay = stage.relay(&[]);
    relay.leads().await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_refused_until_it_is_promoted() {
    let server = testing::private_postgres().await;
    server.create_database("standby").await.unwrap();
    let kafka = testing::kafka().await;
    let [topic] = kafka.topics("standby", [("events", 3)]).await;
    let url = server.url("standby");
    prepare(&url, &topic).await;
    server.stop().await.unwrap();
    fs::write(server.config().data.join("standby.signal"), "").unwrap();
    server.restart().await.unwrap();

    let relay = RunningRelay::start(&options(&kafka.bootstrap(), &[("standby", &url)], &[]));

    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("standby"));
    relay.until(0, refused).await;
    let mut session = testing::eventually("a session", SOON, || PgConnection::connect(&url)).await;
    run(&mut session, "select pg_promote()").await;
    relay.leads().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_of_another_cluster_is_refused() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    say(&mut session, "key", 1).await;
    run(&mut session, "update relay_tick set system_id = system_id - 1").await;

    let relay = stage.relay(&[]);

    let refused =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("cluster"));
    relay.until(0, refused).await;
    relay.stop().await;
    assert_eq!(number(&mut session, "select count(*) from relay_tick").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_is_waited_for() {
    let server = testing::database().await;
    let kafka = testing::kafka().await;
    let url = server.url();
    let relay = RunningRelay::start(&options(&kafka.bootstrap(), &[("late", &url)], &[]));
    let says = |word: &'static str| move |state: &LanePhase| matches!(state, LanePhase::Waiting(why) if why.contains(word));

    relay.until(0, says("migrations")).await;
    let mut session = PgConnection::connect(&url).await.unwrap();
    run(&mut session, crate::stage::MIGRATION).await;
    relay.until(0, says("service")).await;
    run(&mut session, "insert into event_types values (1, 'no.such.topic.yet', 'Said')").await;
    run(&mut session, "insert into outbox_identity (source) values ('/shop/test-svc')").await;
    relay.until(0, says("no.such.topic.yet")).await;
    let [topic] = kafka.topics("late", [("events", 1)]).await;
    run(&mut session, &format!("update event_types set topic = '{topic}'")).await;
    relay.leads().await;
    relay.stop().await;
}
