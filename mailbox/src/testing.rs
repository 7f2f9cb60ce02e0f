//! What services' tests share: a mailbox without Kafka, and two tests that every reaction has to
//! pass.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Answer, Clock, CommandError, IdempotencyKey, Message, Outcome, batch,
    commands::Commands,
    fault::{Admission, Fault, LockPolicy, Pass, WakeUp},
    held::{HeldBack, HeldRows, HeldSince},
    item::item,
    reactor::{DecisionContext, Reactor},
    session::Session,
    settle::{SettleCounts, Settler},
    sweep::WeeklyTable,
    wake::Wake,
};

mod counter;

pub use counter::CounterRecorder;

/// The rows of every table as text, sorted.
pub type Dump = BTreeMap<String, Vec<String>>;

/// An event as it is in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub event_type: i16,
    pub key: String,
    pub version: i64,
    pub payload: Vec<u8>,
}

/// A service's reactor on a test database: messages and commands go in, and the tests look at the
/// rows.
pub struct Fixture<R: Reactor> {
    settler: Settler<R>,
    held: HeldRows,
    /// The time when the fixture was made.
    pub now: OffsetDateTime,
}

impl<R: Reactor> Fixture<R> {
    /// A fixture on a database that is migrated already.
    pub fn new(database_url: &str, reactor: Arc<R>, now: fn() -> OffsetDateTime) -> Self {
        let clock = Clock::new(now, new_id);
        let session =
            Session::new(database_url, "test").expect("the test database's address is good");
        let held = HeldRows::default();
        let settler = Settler {
            reactor,
            session,
            wake: Wake::default(),
            clock,
            weekly: vec![WeeklyTable::INBOX],
            notices: Arc::default(),
            path: "test",
            held: HeldBack::new("test", held.clone()),
            meets_duplicates: false,
        };
        Self { settler, held, now: now() }
    }

    /// A session for looking at rows.
    pub async fn db(&mut self) -> &mut PgConnection {
        self.settler.session.connection().await.expect("the test database is there")
    }

    /// Settles messages as one batch, through the whole mailbox. Returns how many keys stopped.
    pub async fn hear(&mut self, messages: Vec<Message>) -> u64 {
        self.settle(messages).await.newly_parked
    }

    async fn settle(&mut self, messages: Vec<Message>) -> SettleCounts {
        let reactor = Arc::clone(&self.settler.reactor);
        let came = messages.into_iter().filter_map(|message| item(&*reactor, (message, None)));
        self.settler.settle(came.collect(), &CancellationToken::new()).await
    }

    /// Waits until the items that wait for held rows are due, and tries them again.
    pub async fn retry_held(&mut self) {
        self.settler.held.due().await;
        self.settle(Vec::new()).await;
    }

    /// Whether any item waits for a held row.
    pub fn waits(&self) -> bool {
        !self.settler.held.is_empty()
    }

    /// Tries again until no item waits any more.
    pub async fn until_nothing_waits(&mut self) {
        let tried = async {
            while self.waits() {
                self.retry_held().await;
            }
        };
        let patience = std::time::Duration::from_secs(30);
        tokio::time::timeout(patience, tried).await.expect("what waited is tried again");
    }

    /// The rows that items wait for as of `now`, if they are held for at least a second.
    pub fn held_rows(&self, now: OffsetDateTime) -> Vec<HeldSince> {
        self.held.list(now)
    }

    /// Executes one command.
    pub async fn tell(&mut self, input: R::Input) -> Answer {
        let told = self.tell_keyed(input, None).await.expect("the command is executed");
        told.answer
    }

    /// Executes one command under an idempotency key.
    pub async fn tell_keyed(
        &mut self,
        input: R::Input,
        key: Option<IdempotencyKey>,
    ) -> Result<Outcome, CommandError> {
        let (commands, mut taken) = Commands::new(crate::COMMAND_DEADLINE, self.settler.clock);
        let command = crate::Command { key, ..crate::Command::new(input) };
        let is_told = AtomicBool::new(false);
        let told = async {
            let told = commands.submit(command).await;
            is_told.store(true, Ordering::Relaxed);
            told
        };
        let settle = async {
            let came: Vec<_> = taken.recv().await.into_iter().collect();
            self.settler.settle(came, &CancellationToken::new()).await;
            // Other items may go on waiting for their rows after this command has its answer.
            while !self.settler.held.is_empty() && !is_told.load(Ordering::Relaxed) {
                self.retry_held().await;
            }
        };
        tokio::join!(told, settle).0
    }

    /// All events in the outbox, in order.
    pub async fn outbox(&mut self) -> Vec<OutboxRow> {
        let rows: Vec<(i16, Vec<u8>, i64, Vec<u8>)> =
            sqlx::query_as("select type, key, version, payload from outbox order by pos")
                .fetch_all(self.db().await)
                .await
                .expect("the outbox can be read");
        rows.into_iter()
            .map(|(event_type, key, version, payload)| OutboxRow {
                event_type,
                key: String::from_utf8_lossy(&key).into_owned(),
                version,
                payload,
            })
            .collect()
    }

    /// The rows of the whole database.
    pub async fn dump(&mut self) -> Dump {
        let mut dump = Dump::new();
        for table in tables(self.db().await).await {
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
                "select t::text from {table} t order by 1"
            )))
            .fetch_all(self.db().await)
            .await
            .expect("every table can be read");
            dump.insert(table, rows);
        }
        dump
    }

    /// Makes one attempt at a message, its commit included; returns the failure as text.
    async fn attempt(&mut self, message: &Message) -> String {
        let context = DecisionContext::new(self.settler.clock);
        let reactor = Arc::clone(&self.settler.reactor);
        let items: Vec<_> = item(&*reactor, (message.clone(), None)).into_iter().collect();
        let pass = Pass {
            admission: Admission::Deduplicating,
            locking: LockPolicy::Wait,
            wake_up: WakeUp::AfterCommit,
        };
        let session = &mut self.settler.session;
        match batch::attempt(&*reactor, session, &items, pass, &context).await {
            Ok(_) => "nothing".to_owned(),
            Err(broken) => match broken.fault {
                Fault::Database(error) => error.to_string(),
                fault => fault.to_string(),
            },
        }
    }

    async fn run(&mut self, sql: String) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.db().await).await;
        done.expect("the test's own statements are good");
    }
}

/// A session as of a person at a prompt: a transaction that holds rows until it ends.
pub struct Person(PgConnection);

impl Person {
    /// Locks the rows that `select` finds.
    pub async fn holds(url: &str, select: &str) -> Self {
        let mut db = PgConnection::connect(url).await.expect("the test database is there");
        let sql = format!("begin; {select} for update");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.expect("the rows are free");
        Self(db)
    }

    /// Rolls back, and so frees the rows.
    pub async fn ends(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.0).await.expect("it holds them still");
    }
}

async fn tables(db: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select c.relname::text from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
           and c.relname <> '_sqlx_migrations'
         order by 1",
    )
    .fetch_all(db)
    .await
    .expect("the tables can be listed")
}

/// A message as Kafka would deliver it.
pub fn message(
    topic: &str,
    key: &str,
    event_type: &str,
    version: i64,
    payload: Vec<u8>,
) -> Message {
    Message {
        topic: Arc::from(topic),
        partition: 0,
        offset: version,
        key: Some(key.as_bytes().to_vec()),
        event_id: new_id(),
        event_type: event_type.to_owned(),
        source: "/test".to_owned(),
        version,
        trace: None,
        payload,
    }
}

/// Delivers a message twice: the second delivery must change nothing in the whole database, because
/// the inbox knows the event's id.
pub async fn reacts_once<R: Reactor>(fixture: &mut Fixture<R>, message: Message) {
    let before = fixture.dump().await;
    fixture.hear(vec![message.clone()]).await;
    let after = fixture.dump().await;
    assert_ne!(before, after, "the reaction did nothing: the test would pass for any message");
    let id = message.event_id.to_string();
    let known = after["inbox"].iter().filter(|row| row.contains(&id)).count();
    assert_eq!(known, 1, "the inbox remembers the event");
    let again = fixture.settle(vec![message.clone()]).await;
    assert_eq!(again.duplicates, 1, "the repetition was told from a new event");
    assert_eq!(after, fixture.dump().await, "a repetition changed something");
    let twice = fixture.settle(vec![message.clone(), message]).await;
    assert_eq!(twice.duplicates, 2, "the repetitions were told from new events");
    assert_eq!(after, fixture.dump().await, "a repetition within a batch changed something");
}

/// Fails a reaction at each table that it writes in turn, and at its commit: nothing of it may
/// stay. Then lets it succeed.
pub async fn reacts_whole<R: Reactor>(fixture: &mut Fixture<R>, message: Message) {
    let before = fixture.dump().await;
    fixture.run(FAILING.to_owned()).await;
    let mut failed = Vec::new();
    for table in tables(fixture.db().await).await {
        fixture
            .run(format!(
                "create trigger fail_here before insert or update or delete on {table}
                 for each statement execute function fail('at {table}')"
            ))
            .await;
        let failure = fixture.attempt(&message).await;
        fixture.run(format!("drop trigger fail_here on {table}")).await;
        if failure.contains(&format!("failed by the test at {table}")) {
            failed.push(table);
        } else {
            assert!(failure.contains("failed by the test at the commit"), "it said: {failure}");
        }
        assert_eq!(before, fixture.dump().await, "something stayed, though it said: {failure}");
    }
    assert!(failed.contains(&"inbox".to_owned()), "it writes its inbox row: {failed:?}");
    assert!(failed.len() >= 2, "it writes its inbox row and one more: {failed:?}");
    fixture.run("drop function fail() cascade".to_owned()).await;
    fixture.hear(vec![message]).await;
    assert_ne!(before, fixture.dump().await, "nothing failed, and still nothing happened");
}

/// Makes every transaction that admits an id fail at its commit.
const FAILING: &str = "
    create function fail() returns trigger language plpgsql as
    $$ begin raise exception 'failed by the test %', tg_argv[0] using errcode = '40001'; end $$;
    create constraint trigger fail_at_commit after insert on inbox
    deferrable initially deferred for each row execute function fail('at the commit')";

/// A new id for a message or a command of a test.
#[expect(clippy::disallowed_methods, reason = "the source of ids of the tests")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
