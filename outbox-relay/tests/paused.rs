//! An operator pauses a lane by a row in its database, and resumes it by deleting the row.

use outbox_relay::LanePhase;

use crate::stage::{RunningRelay, Stage, options, prepare, run, say, until};

const PAUSE: &str = "insert into lane_pause (reason, caller) values ('a broken consumer', 'ops')";

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_lane_ships_nothing_says_why_and_goes_on_where_it_was() {
    let stage = Stage::new().await;
    let other = backends::testing::database().await;
    prepare(&other.url(), &stage.topic).await;
    let databases = [("paused", &*stage.url()), ("other", &*other.url())];
    let start = || RunningRelay::start(&options(&stage.kafka, &databases, &["--tick-every", "1h"]));
    let mut session = stage.session().await;
    let relay = start();
    let mut reader = stage.reader();
    for version in 1..=100 {
        say(&mut session, "key", version).await;
    }
    reader.read(100).await;

    run(&mut session, PAUSE).await;
    let paused = |state: &LanePhase| *state == LanePhase::Paused("a broken consumer".to_owned());
    relay.until(0, paused).await;
    say(&mut session, "key", 101).await;
    reader.drain().await;
    assert_eq!(reader.events, 100);
    assert!(relay.relay[0].notice().is_some_and(|notice| notice.contains("a broken consumer")));
    assert_eq!(relay.relay[0].problem(), None);
    relay.until(1, |state| *state == LanePhase::Leads).await;
    // Events in flight are acknowledged and ticked, though no tick was due.
    let published = "(select published_pos from relay_tick order by tick_id desc limit 1) > 100";
    until(&mut session, "a last tick", published).await;

    // The pause survives a restart of the relay.
    relay.stop().await;
    let relay = start();
    relay.until(0, paused).await;

    run(&mut session, "delete from lane_pause").await;
    reader.read(101).await;
    relay.leads().await;
    reader.drain().await;
    assert_eq!(reader.repeats, 0);
    relay.stop().await;
}
