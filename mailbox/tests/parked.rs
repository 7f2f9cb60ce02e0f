//! Parked messages of every size: each parks its own key and nothing else, none is lost, and
//! listing them costs the same whatever was sent.

use mailbox::{
    Message, OperatorError, PAYLOAD_SHOWN_MAX, ParkedPlace, ParkedQuery, Replacement, key_text,
};
use uuid::Uuid;

use crate::{
    operators::{by_hand, desk},
    toy::{ADDED, TOPIC, clock, hear, words},
};

/// A message that no build can read.
fn poison(key: &[u8], version: i64, bytes: usize) -> Message {
    let payload = vec![0xff; bytes];
    Message { key: Some(key.to_vec()), payload, ..hear("", version, "") }
}

#[tokio::test]
async fn a_key_of_any_length_and_bytes_parks_itself_and_nothing_else() {
    let (mut toy, mailbox) = desk().await;
    let keys: Vec<Vec<u8>> = vec![
        vec![b'x'; 4_000],
        vec![b'x'; 1_000_000],
        vec![0; 300],
        vec![0xff; 257],
        vec![0xfe; 256],
        b"a\0b".to_vec(),
        Vec::new(),
    ];
    let mut batch: Vec<Message> = keys.iter().map(|key| poison(key, 1, 1)).collect();
    batch.push(Message { key: None, ..poison(b"", 1, 1) });
    batch.push(hear("healthy", 1, "goes on"));

    assert_eq!(toy.hear(batch).await, 8);

    assert_eq!(words(&mut toy, "healthy").await, ["goes on"]);
    assert_eq!(mailbox.parked().await.unwrap().len(), 8);
    for name in keys.iter().map(|key| key_text(Some(key))).chain(["none".to_owned()]) {
        assert!(name.len() < 400, "a path has room for it: {}", name.len());
        let seen = mailbox.parked_messages(TOPIC, &name, 0, 10).await.unwrap();
        assert_eq!(seen.len(), 1, "{name}");
        mailbox.discard(TOPIC, &name, "a test", by_hand()).await.unwrap();
    }
    assert!(mailbox.parked().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_reason_quotes_is_bounded() {
    let (mut toy, mailbox) = desk().await;
    let mut batch = vec![hear("a", 1, "cursed")];
    // The database's error message quotes the row.
    batch[0].key = Some(vec![b'k'; 500_000]);
    toy.hear(batch).await;
    let reason = &mailbox.parked().await.unwrap()[0].reason;
    assert!(reason.chars().count() <= 1_000, "{}", reason.len());
}

#[tokio::test]
async fn a_message_of_a_topic_made_anew_is_not_taken_for_the_one_that_was_there_before() {
    let (mut toy, mailbox) = desk().await;
    let first = poison(b"old", 5, 1);
    toy.hear(vec![first.clone()]).await;

    let mut second = poison(b"new", 5, 1);
    second.event_id = Uuid::nil();
    let behind = Message { payload: b"on".to_vec(), ..poison(b"old", 5, 1) };
    assert_eq!((first.partition, first.offset), (second.partition, second.offset));
    toy.hear(vec![second.clone(), behind.clone()]).await;
    toy.hear(vec![second, behind]).await;

    for (key, messages) in [("old", 2), ("new", 1)] {
        let seen = mailbox.parked_messages(TOPIC, key, 0, 10).await.unwrap();
        assert_eq!(seen.len(), messages, "{key}");
    }
}

#[tokio::test]
async fn a_look_at_large_messages_fetches_little_and_one_of_them_is_there_whole() {
    const BYTES: usize = 900_000;
    let (mut toy, mailbox) = desk().await;
    for part in 0..10 {
        let batch = (0..4).map(|n| poison(b"a", part * 4 + n + 1, BYTES)).collect();
        toy.hear(batch).await;
    }

    let mut after = 0;
    let mut seen = Vec::new();
    loop {
        let page = mailbox.parked_messages(TOPIC, "a", after, 15).await.unwrap();
        let fetched: usize = page.iter().map(|message| message.payload.len()).sum();
        assert!(fetched <= 15 * usize::try_from(PAYLOAD_SHOWN_MAX).unwrap(), "{fetched} bytes");
        let Some(last) = page.last() else { break };
        after = last.parked_id;
        seen.extend(page);
    }
    assert_eq!(seen.len(), 40);
    let versions: Vec<_> = seen.iter().filter_map(|message| message.version).collect();
    assert_eq!(versions, (1..=40).collect::<Vec<i64>>());
    assert!(seen.iter().all(|it| it.is_truncated() && it.payload_bytes == 900_000));

    let whole = mailbox.parked_message(TOPIC, "a", after).await.unwrap().unwrap();
    assert!(!whole.is_truncated() && whole.payload.len() == BYTES);
    assert!(mailbox.parked_message(TOPIC, "b", after).await.unwrap().is_none());
}

#[tokio::test]
async fn a_release_of_large_messages_takes_them_piece_by_piece() {
    let (mut toy, mailbox) = desk().await;
    toy.hear(vec![poison(b"a", 1, 1)]).await;
    for version in 2..=41 {
        toy.hear(vec![hear("a", version, &"w".repeat(250_000))]).await;
    }
    mailbox.discard(TOPIC, "a", "a test", by_hand()).await.unwrap();
    // Each transaction of the release records an operation.
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 40);
    let rows = toy.dump().await.remove("operations").unwrap();
    let pieces = |words| rows.iter().filter(|row| row.contains(words)).count();
    assert_eq!((pieces("16 messages"), pieces("8 messages")), (2, 1), "{rows:?}");
    assert_eq!(words(&mut toy, "a").await.len(), 40);
}

#[tokio::test]
async fn keys_come_in_pages_by_class_and_topic_the_oldest_first() {
    let (mut toy, mailbox) = desk().await;
    for key in 0..7 {
        toy.hear(vec![poison(format!("k{key}").as_bytes(), 1, 1)]).await;
    }
    toy.hear(vec![hear("u", 1, "undecidable")]).await;

    let mut query = ParkedQuery {
        class: Some("undecodable".to_owned()),
        topic: Some(TOPIC.to_owned()),
        limit: 3,
        ..ParkedQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = mailbox.parked_page(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        let (since, topic, key) = (last.since, last.topic.clone(), last.key.clone());
        query.after = Some(ParkedPlace { since, topic, key });
        seen.extend(page.into_iter().map(|it| it.key));
    }
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    query = ParkedQuery { topic: Some("another".to_owned()), limit: 3, ..ParkedQuery::default() };
    assert!(mailbox.parked_page(&query).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_has_no_version_is_released_only_once_an_operator_gave_it_one() {
    let (mut toy, mailbox) = desk().await;
    let mut bare = poison(b"a", 1, 1);
    (bare.version, bare.event_type, bare.event_id) = (0, String::new(), Uuid::nil());
    toy.hear(vec![bare, hear("a", 2, "2")]).await;

    let mend = |event_type, version| Replacement {
        payload: b"1",
        event_type,
        version,
        reason: "as the source's outbox has it",
    };
    for half in [mend(None, None), mend(Some(ADDED), None), mend(None, Some(0))] {
        mailbox.replace(TOPIC, "a", half, by_hand()).await.unwrap();
        let end = mailbox.release(TOPIC, "a", by_hand()).await;
        let Err(OperatorError::StillStopped(park)) = end else {
            panic!("it was released: {end:?}")
        };
        assert_eq!(park.class, "no_envelope");
    }
    assert!(words(&mut toy, "a").await.is_empty());

    mailbox.replace(TOPIC, "a", mend(None, Some(1)), by_hand()).await.unwrap();
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 2);
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
}

#[tokio::test]
async fn two_copies_of_a_message_that_the_inbox_has_forgotten_take_effect_once() {
    let (mut toy, mailbox) = desk().await;
    let then = (clock() - time::Duration::weeks(20)).unix_timestamp();
    let then = uuid::Timestamp::from_unix(uuid::NoContext, u64::try_from(then).unwrap(), 0);
    let old = Message { event_id: Uuid::new_v7(then), ..hear("a", 2, "2") };
    let copy = Message { offset: 77, ..old.clone() };
    toy.hear(vec![hear("a", 1, "1")]).await;
    toy.hear(vec![old, copy]).await;

    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 2);
    assert_eq!(words(&mut toy, "a").await, ["1", "2"]);
}

/// Action, reason, key, source, version and payload of an operation.
type Row = (String, String, Option<String>, Option<String>, Option<i64>, Option<Vec<u8>>);

#[tokio::test]
async fn what_is_discarded_is_written_down_with_its_source_and_version() {
    let (mut toy, mailbox) = desk().await;
    toy.hear(vec![poison(b"a", 41, 3)]).await;
    mailbox.discard(TOPIC, "a", "not ours", by_hand()).await.unwrap();

    let row: Row =
        sqlx::query_as("select action, reason, key, source, version, payload from operations")
            .fetch_one(toy.db().await)
            .await
            .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let payload = Some(vec![0xff; 3]);
    assert_eq!(
        row,
        ("parked.discard".into(), "not ours".into(), text("a"), text("/test"), Some(41), payload)
    );
}
