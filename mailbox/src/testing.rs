//! What a service's tests share: a mailbox without Kafka, and the two promises every reaction
//! keeps.

use std::{collections::BTreeMap, sync::Arc};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Answer, CommandError, IdempotencyKey, Message, Outcome,
    batch::{self, Pass},
    commands::Commands,
    consume,
    reactor::{Reactor, Turn},
    session::Session,
    settle::Settler,
    wake::Wake,
};

/// Every table's rows as text, sorted.
pub type Dump = BTreeMap<String, Vec<String>>;

/// An event as it stands in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub event_type: i16,
    pub key: String,
    pub version: i64,
    pub payload: Vec<u8>,
}

/// A service's reactor on a test database: messages and commands go in, rows come out.
pub struct Fixture<R: Reactor> {
    settler: Settler<R>,
    /// The clock of the batches.
    pub now: OffsetDateTime,
}

impl<R: Reactor> Fixture<R> {
    /// On a migrated database.
    pub fn new(database_url: &str, reactor: Arc<R>, clock: fn() -> OffsetDateTime) -> Self {
        let session =
            Session::new(database_url, "test").expect("the test database's address is good");
        let settler = Settler {
            reactor,
            session,
            wake: Wake::default(),
            clock,
            weekly: vec!["inbox"],
            notices: Arc::default(),
            path: "test",
        };
        Self { settler, now: clock() }
    }

    /// A session for looking at rows.
    pub async fn db(&mut self) -> &mut PgConnection {
        self.settler.session.connection().await.expect("the test database is there")
    }

    /// Hears messages as one batch, through the whole of the mailbox. How many keys stopped.
    pub async fn hear(&mut self, messages: Vec<Message>) -> u64 {
        let reactor = Arc::clone(&self.settler.reactor);
        let mut entries: Vec<_> = messages
            .into_iter()
            .filter_map(|message| consume::entry(&*reactor, (message, None)))
            .collect();
        self.settler.settle(&mut entries, &CancellationToken::new()).await.newly_parked
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
        let (commands, mut taken) = Commands::new(crate::COMMAND_DEADLINE);
        let command = crate::Command { input, key, trace: None };
        let settle = async {
            let mut entries: Vec<_> = taken.recv().await.into_iter().collect();
            self.settler.settle(&mut entries, &CancellationToken::new()).await;
        };
        tokio::join!(commands.submit(command), settle).0
    }

    /// All events announced so far, in order.
    pub async fn outbox(&mut self) -> Vec<Appended> {
        let rows: Vec<(i16, Vec<u8>, i64, Vec<u8>)> =
            sqlx::query_as("select type, key, version, payload from outbox order by pos")
                .fetch_all(self.db().await)
                .await
                .expect("the outbox can be read");
        rows.into_iter()
            .map(|(event_type, key, version, payload)| Appended {
                event_type,
                key: String::from_utf8_lossy(&key).into_owned(),
                version,
                payload,
            })
            .collect()
    }

    /// The whole database.
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

    /// Goes through a batch up to its commit, and back; whether it got there.
    async fn rehearse(&mut self, message: &Message) -> bool {
        let turn = Turn::at((self.settler.clock)());
        let reactor = Arc::clone(&self.settler.reactor);
        let entries: Vec<_> =
            consume::entry(&*reactor, (message.clone(), None)).into_iter().collect();
        let mut tx = self.db().await.begin().await.expect("a transaction");
        batch::within(&*reactor, &mut tx, &entries, Pass::Careful, &turn).await.is_ok()
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

/// A message as Kafka would bring it.
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
        event_id: Uuid::now_v7(),
        event_type: event_type.to_owned(),
        source: "/test".to_owned(),
        version,
        trace: None,
        payload,
    }
}

/// Delivers a message twice: the second time changes nothing in the whole database.
pub async fn reacts_once<R: Reactor>(fixture: &mut Fixture<R>, message: Message) {
    let before = fixture.dump().await;
    fixture.hear(vec![message.clone()]).await;
    let after = fixture.dump().await;
    assert_ne!(before, after, "the reaction did nothing: the test would pass for any message");
    fixture.hear(vec![message.clone()]).await;
    assert_eq!(after, fixture.dump().await, "a repetition changed something");
    fixture.hear(vec![message.clone(), message]).await;
    assert_eq!(after, fixture.dump().await, "a repetition within a batch changed something");
}

/// Fails each writing statement of a reaction in turn, table by table: nothing of it stays. Then it
/// is let through.
pub async fn reacts_whole<R: Reactor>(fixture: &mut Fixture<R>, message: Message) {
    let before = fixture.dump().await;
    let setup = "create or replace function fail_here() returns trigger language plpgsql as
                 $$ begin raise exception 'failed by the test' using errcode = '40001'; end $$";
    sqlx::raw_sql(setup).execute(fixture.db().await).await.expect("the function can be made");
    let mut failed = 0;
    for table in tables(fixture.db().await).await {
        let make = format!(
            "create trigger fail_here before insert or update or delete on {table}
             for each statement execute function fail_here()"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(fixture.db().await).await.expect("a trigger");
        let passed = fixture.rehearse(&message).await;
        let remove = format!("drop trigger fail_here on {table}");
        sqlx::raw_sql(AssertSqlSafe(remove)).execute(fixture.db().await).await.expect("no trigger");
        failed += u32::from(!passed);
        assert_eq!(before, fixture.dump().await, "a failure at {table} left something behind");
    }
    assert!(failed >= 2, "a reaction writes at least its inbox row and one more");
    fixture.hear(vec![message]).await;
    assert_ne!(before, fixture.dump().await, "nothing failed, and still nothing happened");
}
