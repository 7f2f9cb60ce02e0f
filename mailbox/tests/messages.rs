//! Messages: each takes effect once, whole and in order; one that cannot be processed stops its own
//! key only.

use mailbox::testing::{reacts_once, reacts_whole};
use time::Duration;
use uuid::Uuid;

use crate::toy::{hear, toy, words};

#[tokio::test]
async fn a_message_takes_effect_once() {
    reacts_once(&mut toy().await, hear("a", 1, "once")).await;
}

#[tokio::test]
async fn a_message_takes_effect_whole() {
    reacts_whole(&mut toy().await, hear("a", 1, "whole")).await;
}

#[tokio::test]
async fn a_redelivered_batch_adds_only_what_is_new() {
    let mut toy = toy().await;
    let (first, second, third) = (hear("a", 1, "1"), hear("a", 2, "2"), hear("b", 1, "3"));

    toy.hear(vec![first.clone(), second.clone()]).await;
    toy.hear(vec![first, second, third]).await;

    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
    assert_eq!(words(&mut toy, "b").await, ["3"]);
    let versions: Vec<i64> = toy.outbox().await.iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 2, 1]);
}

#[tokio::test]
async fn what_a_service_does_not_care_about_leaves_no_trace() {
    let mut toy = toy().await;
    let before = toy.dump().await;
    toy.hear(vec![hear("a", 1, "ignored")]).await;
    assert_eq!(before, toy.dump().await);
}

#[tokio::test]
async fn an_undecodable_message_stops_its_key_and_no_other() {
    let mut toy = toy().await;
    let mut poison = hear("a", 2, "");
    poison.payload = vec![0xff];

    let parked =
        toy.hear(vec![hear("a", 1, "1"), poison, hear("b", 1, "other"), hear("a", 3, "3")]).await;

    assert_eq!(parked, 1);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
    assert_eq!(words(&mut toy, "b").await, ["other"]);
    let dump = toy.dump().await;
    assert_eq!(dump["parked_keys"].len(), 1);
    assert_eq!(dump["parked"].len(), 2, "the poison and what came after it");

    assert_eq!(toy.hear(vec![hear("a", 4, "4"), hear("b", 2, "more")]).await, 0);
    assert_eq!(toy.dump().await["parked"].len(), 3);
    assert_eq!(words(&mut toy, "b").await, ["other", "more"]);
}

#[tokio::test]
async fn an_undecidable_message_stops_its_key_without_rolling_its_neighbours_back() {
    let mut toy = toy().await;
    let batch = vec![hear("a", 1, "undecidable"), hear("b", 1, "fine"), hear("a", 2, "later")];
    assert_eq!(toy.hear(batch.clone()).await, 1);
    assert_eq!(words(&mut toy, "b").await, ["fine"]);
    assert_eq!(words(&mut toy, "a").await, Vec::<String>::new());

    let parked = toy.dump().await;
    toy.hear(batch).await;
    assert_eq!(parked, toy.dump().await, "a redelivery parks nothing twice");
}

#[tokio::test]
async fn what_the_database_refuses_is_found_by_halving_and_parked() {
    let mut toy = toy().await;
    let mut batch: Vec<_> =
        (0..20).map(|place| hear(&format!("k{place}"), 1, &format!("w{place}"))).collect();
    batch[13] = hear("k13", 1, "cursed");

    assert_eq!(toy.hear(batch).await, 1);

    let dump = toy.dump().await;
    assert_eq!(dump["effects"].len(), 19);
    assert!(dump["parked_keys"][0].contains("effects_not_cursed"), "{:?}", dump["parked_keys"]);
    assert!(dump["parked"][0].contains("k13"));
}

#[tokio::test]
async fn an_id_the_inbox_has_forgotten_is_judged_by_its_version() {
    let mut toy = toy().await;
    toy.hear(vec![hear("a", 1, "1"), hear("a", 2, "2")]).await;
    let old = |mut message: mailbox::Message| {
        let then = (crate::toy::clock() - Duration::weeks(20)).unix_timestamp();
        let then = u64::try_from(then).unwrap();
        message.event_id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, then, 0));
        message
    };

    assert_eq!(
        toy.hear(vec![old(hear("a", 2, "again"))]).await,
        0,
        "at the version heard: a duplicate"
    );
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);

    assert_eq!(toy.hear(vec![old(hear("a", 3, "late"))]).await, 1, "above it: parked");
    assert!(toy.dump().await["parked_keys"][0].contains("out_of_range"));
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
}

#[tokio::test]
async fn a_missing_leaf_is_made_and_nothing_is_parked() {
    let mut toy = toy().await;
    sqlx::raw_sql("select setval('outbox_pos', 900000000)").execute(toy.db().await).await.unwrap();
    assert_eq!(toy.hear(vec![hear("a", 1, "1")]).await, 0);
    assert_eq!(words(&mut toy, "a").await, ["1"]);
    assert_eq!(toy.outbox().await.len(), 1);
}
