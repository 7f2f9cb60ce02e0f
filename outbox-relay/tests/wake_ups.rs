//! Wake-ups make polling by the clock rare where they come, and nothing depends on them.

use sqlx::PgConnection;

use crate::stage::{Stage, number, run, say, until};

/// Scans of the index on xid so far, from the statistics of sessions that have ended: one for each
/// poll, two where transactions are under way.
async fn scans(session: &mut PgConnection) -> i64 {
    let text = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_indexes
        where relname like 'outbox_0%' and indexrelname like '%_xid_idx'";
    number(session, text).await
}

/// Writes one event after the other, each once the one before was read from Kafka.
async fn say_one_by_one(
    stage: &Stage,
    session: &mut PgConnection,
    versions: std::ops::RangeInclusive<u64>,
    more: &str,
) {
    let mut reader = stage.reader();
    reader.read(versions.start() - 1).await;
    for version in versions {
        say(session, "key", i64::try_from(version).unwrap()).await;
        run(session, more).await;
        reader.read(version).await;
    }
}

/// By the clock the relay would poll a thousand times a second here.
#[tokio::test(flavor = "multi_thread")]
async fn where_each_event_is_announced_the_clock_asks_no_more() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&["--poll-guard", "5s", "--poll-idle", "1ms"]);
    relay.leads().await;
    say_one_by_one(&stage, &mut session, 1..=100, "notify outbox").await;
    relay.stop().await;
    let before = scans(&mut session).await;

    let relay = stage.relay(&["--poll-guard", "5s", "--poll-idle", "1ms"]);
    relay.leads().await;
    say_one_by_one(&stage, &mut session, 101..=400, "notify outbox").await;
    // How often an idle relay polls is visible only in time that passes.
    run(&mut session, "select pg_sleep(2)").await;
    relay.stop().await;

    // About one poll for each event.
    let scanned = scans(&mut session).await - before;
    assert!(scanned >= 300, "only {scanned} scans: the statistics are not those of polls");
    assert!(scanned < 1_500, "{scanned} scans for 300 events and two idle seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_notification_is_lost_the_clock_takes_over() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let relay = stage.relay(&[]);
    relay.leads().await;

    say_one_by_one(&stage, &mut session, 1..=100, "notify outbox").await;
    // From here on nothing announces an event: the first waits for the guard, the others for the
    // clock.
    say_one_by_one(&stage, &mut session, 101..=300, "").await;

    relay.stop().await;
    assert!(scans(&mut session).await >= 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_listener_dies_the_clock_takes_over_and_another_listens() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    // A guard that is long enough to be told apart from the clock.
    let relay = stage.relay(&["--poll-guard", "5s"]);
    relay.leads().await;
    say_one_by_one(&stage, &mut session, 1..=100, "notify outbox").await;

    let listener = "from pg_stat_activity
        where datname = current_database() and query = 'LISTEN \"outbox\"'";
    let dead = format!("select count(pg_terminate_backend(pid)) {listener}");
    assert_eq!(number(&mut session, &dead).await, 1);
    say_one_by_one(&stage, &mut session, 101..=200, "notify outbox").await;

    until(&mut session, "another listener", &format!("exists (select {listener})")).await;
    say_one_by_one(&stage, &mut session, 201..=300, "notify outbox").await;
    relay.stop().await;
}
