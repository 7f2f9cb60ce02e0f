//! A database that wakes up in another cluster: restored from a dump, or upgraded.

use std::{fs, process::Stdio};

use backends::{Postgres, is_in_containers, testing};
use outbox_relay::{
    Database, LanePhase,
    adopt::{Adoption, adopt},
};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::stage::{RunningRelay, Stage, header, number, options, run, say, until};

/// Uses up five thousand transaction ids.
const BURN: &str = "do $$ begin
     for n in 1..5000 loop perform pg_current_xact_id(); commit; end loop;
   end $$";

fn waits_for_a_word(state: &LanePhase) -> bool {
    matches!(state, LanePhase::Stopped(why) if why.contains("outbox-relay adopt"))
}

/// Dumps a database and restores it on another server.
async fn restore(from: &str, to: &Postgres) -> String {
    to.create_database("restored").await.unwrap();
    let url = to.url("restored");
    let mut dump = beside(to, "pg_dump");
    dump.args(["--no-owner", "--dbname", from]).stdout(Stdio::piped());
    let dumped = dump.output().await.unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    let mut restoring = beside(to, "psql")
        .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = restoring.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &dumped.stdout).await.unwrap();
    drop(stdin);
    assert!(restoring.wait().await.unwrap().success());
    url
}

/// A program of the same release as a server that runs, from the server's container if it is in one:
/// an older `pg_dump` refuses a newer server.
fn beside(server: &Postgres, program: &str) -> Command {
    let pid = server.pid().unwrap().to_string();
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap().with_file_name(program);
    if !is_in_containers() {
        return Command::new(program);
    }
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid, "--mount"]).arg(program);
    command
}

/// The transaction ids of the dump are far above those of the new cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_is_published_once_more_and_nothing_new_is_lost() {
    let stage = Stage::new().await;
    let (mut session, mut reader) = (stage.session().await, stage.reader());
    let fast = ["--tick-every", "20ms", "--tidy-every", "50ms"];
    let relay = stage.relay(&fast);
    run(&mut session, BURN).await;
    for version in 1..=10 {
        for key in ["one", "other", "third"] {
            say(&mut session, key, version).await;
        }
    }
    reader.read(30).await;
    until(&mut session, "a tick of all", "(select max(published_pos) from relay_tick) = 31").await;
    relay.stop().await;
    let server = testing::private_postgres().await;
    let url = restore(&stage.url(), &server).await;
    let mut session = PgConnection::connect(&url).await.unwrap();

    // A writer that began before anybody noticed, and holds a position.
    let mut writer = PgConnection::connect(&url).await.unwrap();
    run(&mut writer, "begin").await;
    say(&mut writer, "held", 1).await;
    let relay = RunningRelay::start(&options(&stage.kafka, &[("restored", &url)], &fast));
    relay.until(0, waits_for_a_word).await;
    assert!(number(&mut session, "select count(*) from relay_tick where epoch > 1").await == 0);
    adopt(&Database::new("restored", &url), Adoption::Restored).await.unwrap();

    relay.leads().await;
    say(&mut session, "one", 11).await;
    reader.read(31).await;
    let moved = "select (max(pos) >= 4194304)::int::bigint from outbox";
    assert_eq!(number(&mut session, moved).await, 1, "the sequence did not move on");
    run(&mut writer, "commit").await;
    reader.read(32).await;
    // New transaction ids reach those of the dump: no row may have one of them any more.
    run(&mut session, BURN).await;
    say(&mut session, "other", 11).await;
    reader.read(33).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 30);
    until(&mut session, "a sealed leaf", "(select count(sealed_at) from outbox_leaf) = 1").await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_a_restore_has_another_incarnation() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;

    adopt(&Database::new("stage", &stage.url()), Adoption::Restored).await.unwrap();
    let relay = stage.relay(&[]);
    say(&mut session, "key", 1).await;

    let reader = stage.reader();
    assert_eq!(header(&reader.message().await, "ce_incarnation").unwrap(), "2");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_cluster_goes_on_from_its_last_tick() {
    let stage = Stage::new().await;
    let (mut session, mut reader) = (stage.session().await, stage.reader());
    let relay = stage.relay(&[]);
    for version in 1..=5 {
        say(&mut session, "key", version).await;
    }
    reader.read(5).await;
    relay.stop().await;
    // The only effect of pg_upgrade that the relay can see.
    run(&mut session, "update relay_tick set system_id = system_id - 1").await;
    say(&mut session, "key", 6).await;
    let relay = stage.relay(&[]);
    relay.until(0, waits_for_a_word).await;

    adopt(&Database::new("stage", &stage.url()), Adoption::Upgraded).await.unwrap();

    relay.leads().await;
    reader.read(6).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    assert_eq!(number(&mut session, "select incarnation::bigint from outbox_identity").await, 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_restored_is_not_taken_for_upgraded() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    run(&mut session, BURN).await;
    say(&mut session, "key", 1).await;
    let server = testing::private_postgres().await;
    let url = restore(&stage.url(), &server).await;

    let refused = adopt(&Database::new("restored", &url), Adoption::Upgraded).await;

    assert!(refused.unwrap_err().to_string().contains("restored"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_relay_leads_is_not_adopted() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    relay.leads().await;

    let refused = adopt(&Database::new("stage", &stage.url()), Adoption::Restored).await;

    assert!(refused.unwrap_err().to_string().contains("a relay leads this database"));
    relay.stop().await;
}
