//! A transaction that is held open anywhere in the cluster stalls nothing.

use backends::testing;
use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, run, say, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_held_transaction_stalls_nothing() {
    let stage = Stage::new().await;
    let relay = stage.relay(&["--tick-every", "20ms"]);
    relay.leads().await;
    let elsewhere = testing::database().await;
    let mut elsewhere = PgConnection::connect(&elsewhere.url()).await.unwrap();
    let (mut held, mut writer) = (stage.session().await, stage.session().await);

    run(&mut elsewhere, "begin; create table of_mine (n int)").await;
    run(&mut held, "begin isolation level repeatable read; select 1").await;
    say(&mut held, "held", 1).await;
    let mut reader = stage.reader();
    for version in 1..=100 {
        say(&mut writer, "other", version).await;
    }
    reader.read(100).await;

    // Ticks go on, too: a restart now would repeat next to nothing.
    let published = "(select published_pos from relay_tick order by tick_id desc limit 1) >= 101";
    until(&mut writer, "a tick", published).await;
    run(&mut held, "commit").await;
    reader.read(101).await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}
