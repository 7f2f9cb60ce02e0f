//! A host that vanishes without a word costs seconds.

use std::{str::FromStr, time::Duration};

use outbox_relay::{LOCK, SETTINGS};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::stage::{RunningRelay, SOON, Stage, number, options, run, say};

/// A proxy to the database that can be cut so that neither side is told.
struct Way {
    port: u16,
    is_cut: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Way {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (is_cut, cut) = watch::channel(false);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        let serving = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut cut = cut.clone();
                #[expect(clippy::disallowed_methods, reason = "as above")]
                tokio::spawn(async move {
                    if *cut.borrow() {
                        std::future::pending::<()>().await;
                    }
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = cut.wait_for(|is_cut| *is_cut) => {}
                    }
                    // Both sockets stay open, and nothing is forwarded.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { port: own, is_cut, serving }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_database_is_out_of_reach_is_followed_within_seconds() {
    let stage = Stage::new().await;
    let at = PgConnectOptions::from_str(&stage.url()).unwrap();
    let way = Way::to(at.get_port()).await;
    let through = at.host("127.0.0.1").port(way.port).to_url_lossy();
    let cut_off = RunningRelay::start(&options(&stage.kafka, &[("stage", through.as_str())], &[]));
    cut_off.leads().await;
    let successor = stage.relay(&[]);
    let mut session = stage.session().await;
    say(&mut session, "key", 1).await;
    let mut reader = stage.reader();
    reader.read(1).await;

    way.is_cut.send_replace(true);

    successor.leads().await;
    say(&mut session, "key", 2).await;
    reader.read(2).await;
    // A statement's limit of ten seconds, and as much again on a busy machine.
    let noticed = cut_off.until(0, |state| *state != outbox_relay::LanePhase::Leads);
    tokio::time::timeout(Duration::from_secs(40), noticed).await.unwrap();
    cut_off.kill().await;
    successor.stop().await;
    way.serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_its_client_gave_up_does_not_hold_the_lead() {
    let stage = Stage::new().await;
    let mut session = stage.session().await;
    let settings = SETTINGS.iter().copied();
    let gone = PgConnectOptions::from_str(&stage.url()).unwrap().options(settings);
    let mut gone = PgConnection::connect_with(&gone).await.unwrap();
    run(&mut gone, &format!("select pg_advisory_lock({LOCK})")).await;
    let asked =
        tokio::time::timeout(Duration::from_millis(300), run(&mut gone, "select pg_sleep(600)"));
    assert!(asked.await.is_err(), "it slept well");

    drop(gone);

    let relay = stage.relay(&[]);
    tokio::time::timeout(SOON, relay.leads()).await.unwrap();
    let sleeps = "select count(*) from pg_stat_activity
         where datname = current_database() and query like 'select pg_sleep%'";
    assert_eq!(number(&mut session, sleeps).await, 0);
    relay.stop().await;
}
