//! A poll that meets a million rows becomes a scan: constant memory, and it goes on where it was.

use std::{fs, process::Stdio};

use sqlx::PgConnection;
use tokio::process::{Child, Command};

use crate::stage::{Stage, number, run, until};

/// The relay as a process of its own, so that its memory can be measured.
fn process(stage: &Stage) -> Child {
    Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
        .args(["--port", "0", "--kafka", &stage.kafka, "--tick-every", "20ms"])
        .args(["--databases", &format!("flood={}", stage.url())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The peak memory of a process, in MiB.
pub(crate) fn peak_memory(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_are_walked_in_constant_memory_and_across_a_kill() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    run(
        &mut session,
        "insert into outbox (event_id, key, version, type, trace, payload)
         select gen_random_uuid(), (n % 1000)::text::bytea, n / 1000 + 1, 1,
           decode(repeat('ab', 25), 'hex'), decode(repeat('cd', 250), 'hex')
         from generate_series(0, 999999) as n",
    )
    .await;

    let mut first = process(&stage);
    let inside = "(select max(scan_pos) from relay_tick) >= 100000";
    until(&mut session, "a tick inside of the scan", &format!("coalesce({inside}, false)")).await;
    first.kill().await.unwrap();
    let last = "select coalesce(scan_pos, 0) from relay_tick order by tick_id desc limit 1";
    let reached = number(&mut session, last).await;
    assert!(reached > 0, "the scan was over before the kill");

    let second = process(&stage);
    let mut reader = stage.reader();
    reader.read(1_000_000).await;

    let peak = peak_memory(&second);
    assert!(peak < 80, "the relay has had {peak} MiB");
    reader.drain().await;
    assert!(reader.repeats < 100_000, "{} events came again", reader.repeats);
    let whole = "(select scan_to is null from relay_tick order by tick_id desc limit 1)";
    until(&mut session, "a tick without a scan", whole).await;
}

/// A few large events need a scan, too: bytes count as well as rows.
#[tokio::test(flavor = "multi_thread")]
async fn large_events_are_walked() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    run(
        &mut session,
        "insert into outbox (event_id, key, version, type, payload)
         select gen_random_uuid(), 'key', n, 1, decode(repeat('cd', 262144), 'hex')
         from generate_series(1, 100) as n",
    )
    .await;

    let relay = stage.relay(&["--tick-every", "1ms"]);

    stage.reader().read(100).await;
    let inside = "(select count(scan_pos) from relay_tick) > 0";
    until(&mut session, "a tick inside of a scan", inside).await;
    relay.stop().await;
}

/// A transaction writes early and late, and the rows between are published long before it commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_does_not_read_what_was_published_between_its_rows() {
    const PUBLISHED: i64 = 150_000;
    let stage = Stage::new().await;
    let (mut early, mut others) = (stage.session().await, stage.session().await);
    let write = |key: &str, from: i64, to: i64| {
        format!(
            "insert into outbox (event_id, key, version, type, payload)
             select gen_random_uuid(), '{key}', n, 1, 'news'
             from generate_series({from}, {to}) as n"
        )
    };
    run(&mut early, "begin").await;
    run(&mut early, &write("early", 1, 10_001)).await;
    run(&mut others, &write("other", 1, PUBLISHED)).await;
    let mut reader = stage.reader();
    let relay = stage.relay(&[]);
    reader.read(PUBLISHED.unsigned_abs()).await;
    // An orderly stop writes a last tick, and ends the sessions, which report their statistics then.
    relay.stop().await;
    sessions_ended(&mut others).await;
    let read = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes
        where relname like 'outbox_0%' and indexrelname like '%_pkey'";
    let before = number(&mut others, read).await;

    run(&mut early, &write("early", 10_002, 10_002)).await;
    run(&mut early, "commit").await;
    let relay = stage.relay(&[]);
    reader.read(PUBLISHED.unsigned_abs() + 10_002).await;
    relay.stop().await;
    sessions_ended(&mut others).await;

    let scanned = number(&mut others, read).await - before;
    assert!(scanned >= 10_002, "the scan has not read its own rows: {scanned}");
    assert!(scanned < PUBLISHED / 2, "the scan has read {scanned} rows to publish 10,002");
}

/// Waits until the server has seen the end of the relay's sessions.
async fn sessions_ended(db: &mut PgConnection) {
    let none = "not exists (select from pg_stat_activity
        where datname = current_database() and application_name like 'outbox-relay%')";
    until(db, "the relay's sessions have ended", none).await;
}
