//! The ledger outlives its process, however that ends.

use std::{fs, io::Write, time::Instant};

use crate::harness::{Simulator, a_charge, fresh_file};

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let file = fresh_file();
    let simulator = Simulator::start(&file);
    let charged = simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    simulator.post("/charges", &a_charge("k2", "tok_lost")).await.unwrap_err();
    let ledger = simulator.get("/ledger").await;
    simulator.kill();

    let simulator = Simulator::start(&file);

    assert_eq!(simulator.get("/charges/k1").await.body, charged.body);
    assert_eq!(simulator.get("/ledger").await.body, ledger.body);
    assert!(simulator.ask("/charges", &a_charge("k2", "tok_lost")).await.replayed);
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_and_overwritten() {
    let file = fresh_file();
    let simulator = Simulator::start(&file);
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    simulator.kill();
    let whole = fs::read_to_string(&file).unwrap();
    let torn = &whole.replace("k1", "k2")[..whole.len() / 2];
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(torn.as_bytes()).unwrap();

    let simulator = Simulator::start(&file);
    assert_eq!(simulator.get("/charges/k2").await.problem(), (404, "not_found"));
    simulator.ask("/charges", &a_charge("k3", "tok_visa")).await;
    simulator.kill();

    let simulator = Simulator::start(&file);
    assert_eq!(simulator.get("/ledger").await.body["items"][0]["captures"], 2);
}

#[tokio::test]
async fn a_damaged_line_ends_the_start() {
    let file = fresh_file();
    let simulator = Simulator::start(&file);
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    simulator.kill();
    let whole = fs::read_to_string(&file).unwrap();

    fs::write(&file, format!("{{}}\n{whole}")).unwrap();
    assert!(Simulator::try_start(&file).is_none());
    fs::write(&file, format!("{whole}{whole}")).unwrap();
    assert!(Simulator::try_start(&file).is_none(), "the same charge twice");
}

#[tokio::test]
async fn a_ledger_has_one_process() {
    let file = fresh_file();
    let first = Simulator::start(&file);

    assert!(Simulator::try_start(&file).is_none());

    assert_eq!(first.get("/health").await.body["status"], "healthy");
}

#[tokio::test]
async fn many_charges_at_once_share_their_writes() {
    let simulator = Simulator::start(&fresh_file());
    let started = Instant::now();

    let charges = (0..50).map(async |caller: u32| {
        for n in 0..20 {
            let charge = a_charge(&format!("{caller}-{n}"), "tok_visa");
            assert_eq!(simulator.ask("/charges", &charge).await.status, 200);
        }
    });
    futures::future::join_all(charges).await;

    let seconds = started.elapsed().as_secs();
    assert!(seconds < 10, "1,000 charges took {seconds} s");
    assert_eq!(simulator.get("/ledger").await.body["items"][0]["captures"], 1000);
}
