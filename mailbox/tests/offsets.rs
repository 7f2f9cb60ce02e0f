//! Offsets that Kafka does not have, topics that were made anew, and what operators do about them.

use std::sync::Arc;

use backends::testing::eventually;
use mailbox::{
    Answer, ConsumedPartition, ConsumerError, ConsumerRequest, ConsumerState, ResumeFrom,
    ResumeScope,
};
use rdkafka::Offset;
use sqlx::{Connection, PgConnection};

use crate::members::{Member, PATIENCE, Stage};

fn request(reason: &str) -> ConsumerRequest<'_> {
    ConsumerRequest { caller: "tester", reason, key: None, answer: Answer::default() }
}

async fn partition(member: &Member, topic: &str, number: i32) -> ConsumedPartition {
    let all = member.mailbox.consumers().await.unwrap();
    all.into_iter().find(|it| it.topic == topic && it.partition == Some(number)).unwrap()
}

/// Waits until a partition is in a state.
async fn until(
    member: &Member,
    topic: &str,
    number: i32,
    state: ConsumerState,
) -> ConsumedPartition {
    eventually(&format!("{topic} {number} to be {state:?}"), PATIENCE, async || {
        let all = member.mailbox.consumers().await.map_err(|error| error.to_string())?;
        let found = all.into_iter().find(|it| it.topic == topic && it.partition == Some(number));
        found.filter(|it| it.state == state).ok_or_else(|| "another state".to_owned())
    })
    .await
}

fn of(topic: &str, partition: i32, from: ResumeFrom) -> ResumeScope<'_> {
    ResumeScope { topic: Some(topic), partition: Some(partition), from: Some(from) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_read_and_is_gone_stops_its_partition_until_somebody_resumes_it() {
    let stage = Stage::new([2]).await;
    let topic = stage.topics[0];
    stage.send(topic, 0, "gone", &["1", "2", "3"]).await;
    stage.remove(topic, 0, Offset::Offset(2)).await;

    let first = stage.start("one").await;
    let stopped = until(&first, topic, 0, ConsumerState::Stopped).await;
    assert!(stopped.reason.unwrap().contains("gone"));
    assert_eq!(stopped.lag, Some(1));
    assert!(first.mailbox.not_consumed().unwrap().contains("has stopped"));
    stage.send(topic, 1, "other", &["1"]).await;
    stage.words("other", 1).await;
    first.end().await;

    // The stop is a row in the database, so the next instance obeys it, too.
    let second = stage.start("two").await;
    second.joined().await;
    stage.send(topic, 1, "other", &["2"]).await;
    stage.words("other", 2).await;
    assert_eq!(partition(&second, topic, 0).await.state, ConsumerState::Stopped);
    let nowhere = ResumeScope { topic: Some(topic), partition: Some(0), from: None };
    let refused = second.mailbox.resume(nowhere, &request("go on")).await;
    assert!(matches!(refused, Err(ConsumerError::NoPlace)), "{refused:?}");
    let refused = second.mailbox.resume(of(topic, 0, ResumeFrom::Offset(9)), &request("go")).await;
    assert!(matches!(refused, Err(ConsumerError::OutOfRange { low: 2, high: 3 })), "{refused:?}");
    second.mailbox.resume(of(topic, 0, ResumeFrom::Here), &request("go on")).await.unwrap();
    assert_eq!(stage.words("gone", 1).await, ["3"]);
    until(&second, topic, 0, ConsumerState::Reading).await;
    assert_eq!(second.mailbox.not_consumed(), None);

    let done = second.mailbox.operations(i64::MAX, 10).await.unwrap();
    assert_eq!(done[0].action, "consumers.resume");
    assert_eq!(done[0].reason, "go on (from here)");
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_begins_wherever_it_begins() {
    let mut stage = Stage::new([1]).await;
    stage.compacted = stage.topics;
    let topic = stage.topics[0];
    stage.send(topic, 0, "kept", &["1", "2", "3"]).await;
    stage.remove(topic, 0, Offset::Offset(2)).await;

    let member = stage.start("").await;
    assert_eq!(stage.words("kept", 1).await, ["3"]);
    member.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_that_are_gone_stop_their_partition_though_others_have_filled_the_hand() {
    let stage = Stage::new([2]).await;
    let topic = stage.topics[0];
    let first = stage.start("one").await;
    for number in 0..2 {
        stage.send(topic, number, "before", &["1"]).await;
    }
    stage.words("before", 2).await;
    first.end().await;
    stage.send(topic, 0, "missed", &["1", "2"]).await;
    stage.remove(topic, 0, Offset::End).await;
    stage.send(topic, 1, "many", &vec!["on"; 5_000]).await;

    let mut db = PgConnection::connect(&stage.database.url()).await.unwrap();
    let lock = "begin; lock table effects in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut db).await.unwrap();
    let second = stage.start("one").await;
    until(&second, topic, 0, ConsumerState::Stopped).await;
    sqlx::raw_sql("rollback").execute(&mut db).await.unwrap();
    stage.words("many", 5_000).await;

    second.mailbox.resume(of(topic, 0, ResumeFrom::Beginning), &request("lost")).await.unwrap();
    stage.send(topic, 0, "after", &["1"]).await;
    stage.words("after", 1).await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_stops_what_was_read_of_it() {
    let stage = Stage::new([1]).await;
    let topic = stage.topics[0];
    let first = stage.start("one").await;
    stage.send(topic, 0, "old", &["1", "2", "3"]).await;
    stage.words("old", 3).await;
    first.end().await;
    // The new topic is longer than what was read of the old one, so its offsets alone do not tell
    // them apart.
    stage.make_anew(topic, 1).await;
    stage.send(topic, 0, "new", &["1", "2", "3", "4", "5"]).await;

    let second = stage.start("one").await;
    let stopped = until(&second, topic, 0, ConsumerState::Stopped).await;
    assert!(stopped.reason.unwrap().contains("anew"));
    second
        .mailbox
        .resume(of(topic, 0, ResumeFrom::Beginning), &request("it was made anew"))
        .await
        .unwrap();
    assert_eq!(stage.words("new", 5).await, ["1", "2", "3", "4", "5"]);
    stage.send(topic, 0, "new", &["6"]).await;
    stage.words("new", 6).await;
    second.end().await;

    let third = stage.start("one").await;
    stage.send(topic, 0, "new", &["7"]).await;
    stage.words("new", 7).await;
    third.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_stops_a_member_that_reads_it() {
    let stage = Stage::new([1, 1]).await;
    let [topic, other] = [stage.topics[0], stage.topics[1]];
    let member = stage.start("one").await;
    stage.send(topic, 0, "old", &["1", "2", "3"]).await;
    stage.words("old", 3).await;
    // Applied messages are written down every few seconds; the topic is recognized by them.
    eventually("what was applied to be written down", PATIENCE, async || {
        let mut db = PgConnection::connect(&stage.database.url()).await.unwrap();
        let rows: i64 = sqlx::query_scalar("select count(*) from consumer_positions")
            .fetch_one(&mut db)
            .await
            .unwrap();
        if rows > 0 { Ok(()) } else { Err("no row") }
    })
    .await;

    stage.make_anew(topic, 1).await;
    stage.send(topic, 0, "new", &["1"]).await;
    until(&member, topic, 0, ConsumerState::Stopped).await;
    stage.send(other, 0, "other", &["1"]).await;
    stage.words("other", 1).await;
    let resumed = of(topic, 0, ResumeFrom::Beginning);
    member.mailbox.resume(resumed, &request("it was made anew")).await.unwrap();
    stage.words("new", 1).await;
    member.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_topic_is_read_by_no_instance_until_it_is_resumed() {
    let stage = Stage::new([2, 2]).await;
    let [paused, other] = [stage.topics[0], stage.topics[1]];
    let (one, two) = (stage.start("one").await, stage.start("two").await);
    for number in 0..2 {
        stage.send(paused, number, "before", &["1"]).await;
    }
    stage.words("before", 2).await;

    one.mailbox.pause(Some(paused), &request("a look at it")).await.unwrap();
    let unknown = one.mailbox.pause(Some("nobody's"), &request("no")).await;
    assert!(matches!(unknown, Err(ConsumerError::UnknownTopic)));
    eventually("the other instance to know", PATIENCE, async || {
        two.mailbox.not_consumed().ok_or("not yet")
    })
    .await;
    let told = two.mailbox.not_consumed().unwrap();
    assert!(told.contains("is paused: a look at it"), "{told}");
    for number in 0..2 {
        stage.send(paused, number, "meanwhile", &["1"]).await;
        stage.send(other, number, "other", &["1"]).await;
    }
    stage.words("other", 2).await;
    one.end().await;
    two.end().await;

    let three = stage.start("one").await;
    three.joined().await;
    stage.send(other, 0, "other", &["2"]).await;
    stage.words("other", 3).await;
    let heard = three.listener.heard();
    assert!(heard.iter().all(|it| it.topic != paused), "it survives a restart: {heard:?}");
    let shown = partition(&three, paused, 0).await;
    assert_eq!((shown.state, shown.lag), (ConsumerState::Paused, Some(1)));
    let all = ResumeScope { topic: None, partition: None, from: None };
    three.mailbox.resume(all, &request("seen enough")).await.unwrap();
    stage.words("meanwhile", 2).await;
    let done = three.mailbox.operations(i64::MAX, 10).await.unwrap();
    let actions: Vec<&str> = done.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(actions, ["consumers.resume", "consumers.pause"]);
    three.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_topic_can_go_back_to_its_beginning_and_nothing_takes_effect_twice() {
    let stage = Stage::new([1]).await;
    let topic = stage.topics[0];
    let member = stage.start("one").await;
    stage.send(topic, 0, "a", &["1", "2", "3"]).await;
    stage.words("a", 3).await;
    member.mailbox.pause(None, &request("to go back")).await.unwrap();
    let scope =
        ResumeScope { topic: Some(topic), partition: None, from: Some(ResumeFrom::Beginning) };
    member.mailbox.resume(scope, &request("once more")).await.unwrap();
    eventually("all to be read again", PATIENCE, async || {
        let again = member.listener.heard().iter().filter(|it| it.offset == 0).count();
        if again >= 2 { Ok(()) } else { Err(again) }
    })
    .await;
    stage.send(topic, 0, "a", &["4"]).await;
    assert_eq!(stage.words("a", 4).await, ["1", "2", "3", "4"]);
    member.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_pause_under_its_key_is_answered_as_the_first() {
    let stage = Stage::new([1]).await;
    let member = stage.start("").await;
    let keyed = ConsumerRequest {
        key: Some(crate::operators::a_key("pause", 1)),
        answer: Answer { status: 200, headers: Vec::new(), body: b"first".to_vec() },
        ..request("once")
    };
    let first = member.mailbox.pause(None, &keyed).await.unwrap();
    let again = ConsumerRequest { answer: Answer::default(), ..keyed.clone() };
    let second = member.mailbox.pause(None, &again).await.unwrap();
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!(second.answer.body, b"first");
    let other = ConsumerRequest { key: Some(crate::operators::a_key("pause", 2)), ..again };
    let reused = member.mailbox.pause(None, &other).await;
    assert!(matches!(reused, Err(ConsumerError::KeyReused)));
    assert_eq!(member.mailbox.operations(i64::MAX, 10).await.unwrap().len(), 1);
    drop(Arc::clone(&member.listener));
    member.end().await;
}
