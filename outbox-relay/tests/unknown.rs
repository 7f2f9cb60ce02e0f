//! A row whose type is not registered stops its database's lane, visibly, and no other.

use outbox_relay::LanePhase;
use sqlx::{Connection, PgConnection};

use crate::stage::{Reader, RunningRelay, Stage, options, prepare, run, say};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_stops_its_database_and_no_other() {
    let stage = Stage::new().await;
    let other = backends::testing::database().await;
    prepare(&other.url(), &stage.topic).await;
    let databases = [("one", &*stage.url()), ("other", &*other.url())];
    let relay = RunningRelay::start(&options(&stage.kafka, &databases, &["--tick-every", "20ms"]));
    let mut one = stage.session().await;
    let mut other = PgConnection::connect(&other.url()).await.unwrap();
    let mut reader = Reader::new(&stage.kafka, &[&stage.topic], 3);

    say(&mut one, "one", 1).await;
    let unknown = "insert into outbox (event_id, key, version, type, payload)
         values (gen_random_uuid(), 'one', 2, 99, 'news')";
    run(&mut one, unknown).await;
    say(&mut one, "one", 3).await;
    let stopped =
        |state: &LanePhase| matches!(state, LanePhase::Stopped(why) if why.contains("type 99"));
    relay.until(0, stopped).await;
    say(&mut other, "other", 1).await;

    // The third event of `one` would break the order if it were published.
    reader.read(2).await;
    reader.drain().await;
    assert_eq!(relay.relay[1].state(), LanePhase::Leads);
    assert!(relay.relay[0].problem().is_some());

    run(&mut one, &format!("insert into event_types values (99, '{}', 'Heard')", stage.topic))
        .await;
    reader.read(4).await;
    relay.leads().await;
    relay.stop().await;
}

/// A service of a newer build adds its types while the relay runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_came_later_is_read_again() {
    let stage = Stage::new().await;
    let relay = stage.relay(&[]);
    relay.leads().await;
    let mut session = stage.session().await;
    run(&mut session, &format!("insert into event_types values (2, '{}', 'Sung')", stage.topic))
        .await;
    say(&mut session, "key", 1).await;
    let later = "insert into outbox (event_id, key, version, type, payload)
         values (gen_random_uuid(), 'key', 2, 2, 'news')";
    run(&mut session, later).await;

    stage.reader().read(2).await;
    relay.stop().await;
}
