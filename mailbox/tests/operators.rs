//! Operators: a parked key goes on where it stopped, in order, under the event ids it was received
//! with.

use std::sync::Arc;

use mailbox::{
    Answer, Clock, IdempotencyKey, IdempotentRequest, Mailbox, Message, OperatorError, Options,
    Park, Replacement,
    testing::{Fixture, new_id},
};

use crate::toy::{TOPIC, Toy, clock, hear, prepare, words};

pub(crate) fn options(database_url: String, kafka: String) -> Options {
    Options {
        database_url,
        kafka: [("bootstrap.servers".to_owned(), kafka)].into_iter().collect(),
        service: "toy-svc",
        instance: String::new(),
        source: "/toy",
        event_types: vec![(1, TOPIC, "Added")],
        weekly: &[],
        clock: Clock::new(clock, new_id),
        batch: 100,
        command_deadline: mailbox::COMMAND_DEADLINE,
    }
}

/// A toy on a database of its own, and the mailbox through which operators act.
pub(crate) async fn desk() -> (Fixture<Toy>, Mailbox<Toy>) {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    let toy = Fixture::new(&database.url(), Arc::new(Toy), clock);
    let options = options(database.url(), "127.0.0.1:1".to_owned());
    let (mailbox, _loops) = Mailbox::open(options, Arc::new(Toy)).await.unwrap();
    (toy, mailbox)
}

fn poison(key: &str, version: i64) -> Message {
    let mut message = hear(key, version, "");
    message.payload = vec![0xff];
    message
}

#[tokio::test]
async fn discard_and_release_go_on_in_order() {
    let (mut toy, mailbox) = desk().await;
    let mut batch = vec![hear("a", 1, "1"), poison("a", 2)];
    batch.extend((3..=1_203).map(|version| hear("a", version, &version.to_string())));
    toy.hear(batch).await;

    let keys = mailbox.parked().await.unwrap();
    assert_eq!((keys.len(), keys[0].messages), (1, 1_202));
    assert!(matches!(
        mailbox.release(TOPIC, "a", by_hand()).await,
        Err(OperatorError::StillStopped(_))
    ));
    assert_eq!(words(&mut toy, "a").await, ["1"], "nothing overtakes the first");

    mailbox.discard(TOPIC, "a", "it was a test", by_hand()).await.unwrap();
    assert_eq!(mailbox.parked().await.unwrap()[0].messages, 1_201, "only the first is dropped");
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 1_201);

    let expected: Vec<String> =
        std::iter::once(1).chain(3..=1_203).map(|version: i64| version.to_string()).collect();
    assert_eq!(words(&mut toy, "a").await, expected);
    assert!(mailbox.parked().await.unwrap().is_empty());
    assert!(toy.dump().await["operations"].iter().any(|row| row.contains("it was a test")));
    toy.hear(vec![hear("a", 1_204, "on")]).await;
    assert_eq!(words(&mut toy, "a").await.last().unwrap(), "on");
}

#[tokio::test]
async fn a_replaced_message_takes_effect_under_its_own_id() {
    let (mut toy, mailbox) = desk().await;
    let first = poison("a", 1);
    toy.hear(vec![first.clone(), hear("a", 2, "2")]).await;

    mailbox.replace(TOPIC, "a", mended(b"mended"), by_hand()).await.unwrap();
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 2);

    assert_eq!(words(&mut toy, "a").await, ["mended", "2"]);
    toy.hear(vec![first]).await;
    assert_eq!(words(&mut toy, "a").await, ["mended", "2"], "its redelivery is a duplicate");
}

#[tokio::test]
async fn a_second_poison_stops_the_release_where_it_is() {
    let (mut toy, mailbox) = desk().await;
    toy.hear(vec![poison("a", 1), hear("a", 2, "2"), poison("a", 3), hear("a", 4, "4")]).await;

    mailbox.discard(TOPIC, "a", "first", by_hand()).await.unwrap();
    assert!(matches!(
        mailbox.release(TOPIC, "a", by_hand()).await,
        Err(OperatorError::StillStopped(_))
    ));
    assert_eq!(words(&mut toy, "a").await, ["2"]);
    assert_eq!(mailbox.parked_messages(TOPIC, "a", 0, 200).await.unwrap().len(), 2);

    mailbox.discard(TOPIC, "a", "second", by_hand()).await.unwrap();
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 1);
    assert_eq!(words(&mut toy, "a").await, ["2", "4"]);
}

#[tokio::test]
async fn a_message_the_database_refused_is_released_up_to_it() {
    let (mut toy, mailbox) = desk().await;
    toy.hear(vec![poison("a", 1)]).await;
    toy.hear(vec![hear("a", 2, "2"), hear("a", 3, "cursed"), hear("a", 4, "4")]).await;
    mailbox.discard(TOPIC, "a", "poison", by_hand()).await.unwrap();

    let Err(OperatorError::StillStopped(park)) = mailbox.release(TOPIC, "a", by_hand()).await
    else {
        panic!("the database refuses it still")
    };
    assert_eq!(park.class, "refused_by_database");
    assert_eq!(mailbox.parked().await.unwrap()[0].reason, park.reason);
    assert_eq!(words(&mut toy, "a").await, ["2"]);
    mailbox.replace(TOPIC, "a", mended(b"blessed"), by_hand()).await.unwrap();
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 2);
    assert_eq!(words(&mut toy, "a").await, ["2", "blessed", "4"]);
}

#[tokio::test]
async fn what_is_not_parked_cannot_be_released() {
    let (_toy, mailbox) = desk().await;
    assert!(matches!(mailbox.release(TOPIC, "a", by_hand()).await, Err(OperatorError::NotParked)));
    assert!(matches!(
        mailbox.discard(TOPIC, "a", "", by_hand()).await,
        Err(OperatorError::NotParked)
    ));
    assert!(mailbox.parked_messages(TOPIC, "a", 0, 200).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wish_that_is_repeated_under_its_key_is_fulfilled_once() {
    let (mut toy, mailbox) = desk().await;
    toy.hear(vec![poison("a", 1), hear("a", 2, "2"), poison("a", 3), hear("a", 4, "4")]).await;

    let (first, again) = (a_key("discard", 1), a_key("discard", 2));
    mailbox.discard(TOPIC, "a", "poison", under(&first)).await.unwrap();
    let repeated = mailbox.discard(TOPIC, "a", "poison", under(&first)).await;
    assert!(matches!(repeated, Err(OperatorError::Answered(answer)) if answer.body == b"Ok(1)"));
    let other = mailbox.discard(TOPIC, "a", "another", under(&again)).await;
    assert!(matches!(other, Err(OperatorError::KeyReused)));
    assert_eq!(mailbox.parked().await.unwrap()[0].messages, 3, "one was dropped");

    let stopped = a_key("release", 1);
    let end = mailbox.release(TOPIC, "a", under(&stopped)).await;
    assert!(matches!(end, Err(OperatorError::StillStopped(_))));
    mailbox.replace(TOPIC, "a", mended(b"3"), by_hand()).await.unwrap();
    let repeated = mailbox.release(TOPIC, "a", under(&stopped)).await;
    assert!(matches!(repeated, Err(OperatorError::Answered(_))), "a refusal is told again, too");
    assert_eq!(mailbox.release(TOPIC, "a", by_hand()).await.unwrap(), 2);
    assert_eq!(words(&mut toy, "a").await, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_release_in_pieces_is_answered_by_its_last() {
    let (mut toy, mailbox) = desk().await;
    let behind = (2..=1_202).map(|version| hear("a", version, "on"));
    toy.hear(std::iter::once(poison("a", 1)).chain(behind).collect()).await;
    mailbox.discard(TOPIC, "a", "poison", by_hand()).await.unwrap();

    let key = a_key("release", 1);
    assert_eq!(mailbox.release(TOPIC, "a", under(&key)).await.unwrap(), 1_201);
    let repeated = mailbox.release(TOPIC, "a", under(&key)).await;
    assert!(matches!(repeated, Err(OperatorError::Answered(it)) if it.body == b"Ok(1201)"));
}

/// A client's idempotency key for a request, with a body of its choice.
pub(crate) fn a_key(wish: &str, body: u8) -> IdempotencyKey {
    IdempotencyKey {
        caller: "tester".to_owned(),
        route: wish.to_owned(),
        key: "k".to_owned(),
        fingerprint: [body; 32],
    }
}

/// A request without a key.
pub(crate) fn by_hand() -> IdempotentRequest {
    IdempotentRequest { key: None, ..under(&a_key("by hand", 0)) }
}

/// Stores what came of the request as the answer's body.
pub(crate) fn under(key: &IdempotencyKey) -> IdempotentRequest {
    let tell = |end: Result<u64, &Park>| Answer {
        status: 200,
        headers: Vec::new(),
        body: format!("{end:?}").into_bytes(),
    };
    IdempotentRequest { caller: key.caller.clone(), key: Some(key.clone()), tell }
}

fn mended(payload: &[u8]) -> Replacement<'_> {
    Replacement { payload, event_type: None, version: None, reason: "the sender's bug" }
}
