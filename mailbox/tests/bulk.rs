//! Bulk operations: every parked key of a kind is released or discarded once, whoever dies or
//! interferes meanwhile, and what became of each is told.

use std::{sync::Arc, time::Duration};

use backends::testing::eventually;
use mailbox::{
    Answer, BULK_KEYS_MAX, BulkAction, BulkFilter, BulkKey, BulkOperation, BulkRequest, KeyOutcome,
    Loop, Mailbox, OperatorError, OperatorRequest,
    testing::{Fixture, Person, new_id},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    operators::{a_key, by_hand, options},
    toy::{TOPIC, Toy, clock, prepare, words},
};

const PATIENCE: Duration = Duration::from_mins(1);
const CLASS: &str = "undecodable";

/// A toy on a database of its own, and the mailbox through which operators act.
struct Desk {
    url: String,
    toy: Fixture<Toy>,
    mailbox: Mailbox<Toy>,
    running: JoinSet<anyhow::Result<()>>,
}

impl Desk {
    async fn new() -> Self {
        let database = backends::testing::database().await;
        let url = database.url();
        prepare(&url).await;
        let toy = Fixture::new(&url, Arc::new(Toy), clock);
        let (mailbox, _loops) = open(&url).await;
        Self { url, toy, mailbox, running: JoinSet::new() }
    }

    /// Lets bulk operations be carried out, by an instance of its own.
    async fn run(&mut self) {
        let (_mailbox, loops) = open(&self.url).await;
        for Loop { name, run, .. } in loops {
            if name == "bulk" {
                self.running.spawn(run(CancellationToken::new()));
            }
        }
    }

    /// Parks keys `k1` to `k{count}`, with these words of each in order.
    async fn park(&mut self, count: i64, class: &str, words: &[&str]) {
        let mut db = PgConnection::connect(&self.url).await.unwrap();
        let keys = format!(
            "insert into parked_keys (topic, key, class, reason)
             select '{TOPIC}', 'k' || n, '{class}', 'a test' from generate_series(1, {count}) n"
        );
        sqlx::raw_sql(AssertSqlSafe(keys)).execute(&mut db).await.unwrap();
        for (version, word) in (1_i64..).zip(words) {
            let ids: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
            let messages = sqlx::query_as::<_, ()>(
                "insert into parked (topic, key, \"partition\", \"offset\", message_key, event_id,
                     event_type, source, version, payload, digest)
                 select $1, 'k' || n, 0, $2 * 100000 + n, convert_to('k' || n, 'UTF8'), id,
                     'toy.v1.Added', '/test', $2, $3, uuid_send(id)
                 from unnest($4::uuid[]) with ordinality as message (id, n)",
            );
            let bound = messages.bind(TOPIC).bind(version).bind(word.as_bytes()).bind(ids);
            sqlx::Executor::execute(&mut db, bound).await.unwrap();
        }
    }

    /// Begins an operation on all keys of the class; its id.
    async fn begin(&self, action: BulkAction, expected: i64) -> Uuid {
        let begun = self.mailbox.start_bulk(&all(action, expected), request(None), tell).await;
        String::from_utf8(begun.unwrap().body).unwrap().parse().unwrap()
    }

    async fn bulk(&self, id: Uuid) -> BulkOperation {
        self.mailbox.bulk(id).await.unwrap().unwrap()
    }

    /// The operation once it has ended: how many keys ended how.
    async fn ended(&self, id: Uuid) -> Vec<(String, i64)> {
        eventually("the bulk operation to end", PATIENCE, async || {
            let bulk = self.bulk(id).await;
            if bulk.ended_at.is_some() { Ok(bulk.outcomes) } else { Err(format!("{bulk:?}")) }
        })
        .await
    }

    async fn keys(&self, id: Uuid, outcome: KeyOutcome) -> Vec<BulkKey> {
        self.mailbox.bulk_keys(id, Some(outcome), 0, 200).await.unwrap()
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.toy.db().await).await.unwrap()
    }
}

async fn open(url: &str) -> (Mailbox<Toy>, Vec<Loop>) {
    let options = options(url.to_owned(), "127.0.0.1:1".to_owned());
    Mailbox::open(options, Arc::new(Toy)).await.unwrap()
}

fn all(action: BulkAction, expected: i64) -> BulkRequest {
    let filter = BulkFilter { topic: Some(TOPIC.to_owned()), class: Some(CLASS.to_owned()) };
    BulkRequest { action, filter, expected }
}

fn request(key: Option<&mailbox::IdempotencyKey>) -> OperatorRequest<'_> {
    OperatorRequest { caller: "tester", reason: "it was mended", key }
}

/// The operation's id, or the number of keys there are.
fn tell(end: Result<&BulkOperation, i64>) -> Answer {
    let body = match end {
        Ok(bulk) => bulk.id.to_string(),
        Err(keys) => keys.to_string(),
    };
    Answer { status: 200, headers: Vec::new(), body: body.into_bytes() }
}

fn outcomes(expected: &[(KeyOutcome, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(outcome, keys)| (outcome.as_str().to_owned(), *keys)).collect()
}

#[tokio::test]
async fn all_keys_of_a_kind_are_released_in_order_and_each_is_recorded() {
    let mut desk = Desk::new().await;
    desk.park(120, CLASS, &["1", "2"]).await;
    let poison = "update parked set payload = '\\xff' where key = 'k7' and version = 2;
        update parked_keys set class = 'other' where key = 'k8'";
    sqlx::raw_sql(poison).execute(desk.toy.db().await).await.unwrap();

    let id = desk.begin(BulkAction::Release, 119).await;
    desk.run().await;

    let end = desk.ended(id).await;
    assert_eq!(end, outcomes(&[(KeyOutcome::Released, 118), (KeyOutcome::Stopped, 1)]));
    let stopped = desk.keys(id, KeyOutcome::Stopped).await;
    assert_eq!((stopped[0].key.as_str(), stopped[0].messages), ("k7", 1));
    assert_eq!(stopped[0].detail.as_deref(), Some("it is not text"));
    assert!(desk.keys(id, KeyOutcome::Released).await.iter().all(|key| key.messages == 2));
    assert_eq!(words(&mut desk.toy, "k1").await, ["1", "2"]);
    assert_eq!(words(&mut desk.toy, "k7").await, ["1"], "as far as it goes");
    assert!(words(&mut desk.toy, "k8").await.is_empty(), "it stopped for another reason");
    assert_eq!(desk.mailbox.parked().await.unwrap().len(), 2);
    let bulk = desk.bulk(id).await;
    assert_eq!((bulk.keys, bulk.messages), (119, 238));
    let done =
        "select count(*) from operations where caller = 'tester' and reason = 'it was mended'
        and action = 'parked.release' and key is not null";
    assert_eq!(desk.count(done).await, 119);
    let begun =
        "select count(*) from operations where action = 'parked.bulk' and caller = 'tester'";
    assert_eq!(desk.count(begun).await, 1);
}

#[tokio::test]
async fn an_operation_goes_on_after_the_death_of_its_process() {
    let mut desk = Desk::new().await;
    desk.park(300, CLASS, &["1"]).await;
    let id = desk.begin(BulkAction::Release, 300).await;

    for deaths in 1..=3 {
        desk.run().await;
        eventually("some keys to be released", PATIENCE, async || {
            let outcomes = desk.bulk(id).await.outcomes;
            let done: i64 = outcomes.iter().map(|(_, keys)| keys).sum();
            if done >= deaths * 40 { Ok(()) } else { Err(done) }
        })
        .await;
        desk.running.shutdown().await;
    }
    assert!(desk.bulk(id).await.ended_at.is_none(), "it died in the middle");
    desk.run().await;
    // Two instances, of which one waits.
    desk.run().await;

    assert_eq!(desk.ended(id).await, outcomes(&[(KeyOutcome::Released, 300)]));
    assert_eq!(desk.count("select count(*) from effects").await, 300);
    assert_eq!(desk.count("select count(*) from operations where key is not null").await, 300);
}

#[tokio::test]
async fn a_discard_drops_the_message_that_was_counted_and_no_other() {
    let mut desk = Desk::new().await;
    desk.park(4, CLASS, &["bad", "good"]).await;
    let id = desk.begin(BulkAction::Discard, 4).await;
    // Somebody is quicker with two of the keys, and something new stops.
    desk.mailbox.discard(TOPIC, "k2", "by hand", by_hand()).await.unwrap();
    desk.mailbox.release(TOPIC, "k3", by_hand()).await.unwrap();
    let mut new = crate::toy::hear("late", 1, "");
    new.payload = vec![0xff];
    desk.toy.hear(vec![new]).await;
    desk.run().await;

    let (changed, gone) = ((KeyOutcome::Changed, 1), (KeyOutcome::Gone, 1));
    let end = desk.ended(id).await;
    assert_eq!(end, outcomes(&[changed, (KeyOutcome::Discarded, 2), gone]));
    assert_eq!(desk.keys(id, KeyOutcome::Changed).await[0].key, "k2");
    assert_eq!(desk.keys(id, KeyOutcome::Gone).await[0].key, "k3");
    let parked = desk.mailbox.parked().await.unwrap();
    let parked: Vec<_> = parked.iter().map(|key| (key.key.as_str(), key.messages)).collect();
    assert_eq!(parked, [("k1", 1), ("k2", 1), ("k4", 1), ("late", 1)]);
    let audit =
        "select count(*) from operations where action = 'parked.discard' and payload = 'bad'
        and version = 1 and source = '/test' and event_id is not null";
    assert_eq!(desk.count(audit).await, 3, "what was dropped is kept");
}

#[tokio::test]
async fn another_number_than_was_expected_begins_nothing_and_is_told_again_under_its_key() {
    let mut desk = Desk::new().await;
    desk.park(3, CLASS, &["1", "2"]).await;
    let filter = all(BulkAction::Release, 0).filter;
    let size = desk.mailbox.size_bulk(&filter).await.unwrap();
    assert_eq!((size.keys, size.messages, size.has_more), (3, 6, false));

    let key = a_key("bulk", 1);
    for expected in [2, 4] {
        let wanted = all(BulkAction::Release, expected);
        let told = desk.mailbox.start_bulk(&wanted, request(None), tell).await.unwrap();
        assert_eq!(told.body, b"3");
    }
    let wanted = all(BulkAction::Release, 2);
    let told = desk.mailbox.start_bulk(&wanted, request(Some(&key)), tell).await.unwrap();
    assert_eq!(told.body, b"3");
    let again = desk.mailbox.start_bulk(&wanted, request(Some(&key)), tell).await;
    assert!(matches!(again, Err(OperatorError::Answered(answer)) if answer.body == b"3"));
    let other = a_key("bulk", 2);
    let reused = desk.mailbox.start_bulk(&wanted, request(Some(&other)), tell).await;
    assert!(matches!(reused, Err(OperatorError::KeyReused)));

    for table in ["bulk_operations", "bulk_keys", "operations"] {
        assert!(desk.toy.dump().await[table].is_empty(), "{table}");
    }
}

#[tokio::test]
async fn an_operation_takes_so_many_keys_at_most_and_the_oldest_first() {
    let mut desk = Desk::new().await;
    desk.park(BULK_KEYS_MAX + 5, CLASS, &["1"]).await;
    let newest = "update parked_keys set since = since + interval '1 hour' where key = 'k1'";
    sqlx::raw_sql(newest).execute(desk.toy.db().await).await.unwrap();
    let filter = all(BulkAction::Release, 0).filter;

    let size = desk.mailbox.size_bulk(&filter).await.unwrap();
    assert_eq!((size.keys, size.messages, size.has_more), (BULK_KEYS_MAX, BULK_KEYS_MAX, true));
    let id = desk.begin(BulkAction::Release, BULK_KEYS_MAX).await;

    let taken = "select count(*) from bulk_keys where key <> 'k1'";
    assert_eq!(desk.count(taken).await, BULK_KEYS_MAX);
    let page = desk.mailbox.bulk_keys(id, None, 9_990, 200).await.unwrap();
    assert_eq!((page.len(), page[0].place, page[0].outcome.as_deref()), (10, 9_991, None));
}

#[tokio::test]
async fn a_key_that_somebody_holds_fails_and_the_others_go_on() {
    let mut desk = Desk::new().await;
    desk.toy.hear(vec![crate::toy::hear("k1", 1, "0")]).await;
    desk.park(3, CLASS, &["1"]).await;
    let person = Person::holds(&desk.url, "select from counters where key = 'k1'").await;
    let id = desk.begin(BulkAction::Release, 3).await;
    desk.run().await;

    let end = desk.ended(id).await;
    assert_eq!(end, outcomes(&[(KeyOutcome::Failed, 1), (KeyOutcome::Released, 2)]));
    let failed = desk.keys(id, KeyOutcome::Failed).await;
    assert_eq!(failed[0].key, "k1");
    assert!(failed[0].detail.as_ref().unwrap().contains("lock timeout"), "{failed:?}");
    person.ends().await;
    let again = desk.begin(BulkAction::Release, 1).await;
    desk.run().await;
    assert_eq!(desk.ended(again).await, outcomes(&[(KeyOutcome::Released, 1)]));
    assert_eq!(words(&mut desk.toy, "k1").await, ["0", "1"]);
}
