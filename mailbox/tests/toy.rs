//! A toy service: counters by key, and each input an effect that is written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailbox::{
    Answer, DecisionContext, DecodedMessage, Effects, HeldRow, LockPolicy, Message, OutboxEvent,
    Park, Reactor, testing::Fixture, wrote,
};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

pub(crate) const TOPIC: &str = "toy.v1";
pub(crate) const ADDED: &str = "toy.v1.Added";
/// The same, and nobody waits for it.
pub(crate) const NOTED: &str = "toy.v1.Noted";
const SAID: i16 = 1;

const TABLES: &str = "
    create table counters (
        key text primary key,
        total bigint not null,
        said bigint not null,
        heard bigint not null
    );
    create table effects (
        effect_id bigint generated always as identity primary key,
        key text not null,
        word text not null,
        constraint effects_not_cursed check (word <> 'cursed')
    );";

/// Adds one to a counter and remembers the word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Add {
    pub(crate) key: String,
    pub(crate) word: String,
    heard: bool,
}

pub(crate) struct Toy;

#[derive(Default)]
pub(crate) struct World {
    counters: BTreeMap<String, Counter>,
    effects: Vec<(String, String)>,
    held: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Counter {
    total: i64,
    said: i64,
    heard: i64,
    is_new: bool,
}

pub(crate) fn clock() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the test's one clock")]
    OffsetDateTime::now_utc()
}

/// The input of a request that adds `word` under `key`.
pub(crate) fn ask(key: &str, word: &str) -> Add {
    Add { key: key.to_owned(), word: word.to_owned(), heard: false }
}

/// The message that adds `word` under `key`, as the `version`th of its key.
pub(crate) fn hear(key: &str, version: i64, word: &str) -> Message {
    mailbox::testing::message(TOPIC, key, ADDED, version, word.as_bytes().to_vec())
}

/// Makes the mailbox's tables and the toy's in a database.
pub(crate) async fn prepare(url: &str) {
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::migrate!("./migrations").run(&mut db).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&mut db).await.unwrap();
}

pub(crate) async fn toy() -> Fixture<Toy> {
    let database = backends::testing::database().await;
    prepare(&database.url()).await;
    Fixture::new(&database.url(), Arc::new(Toy), clock)
}

/// The words of a key, in the order they took effect.
pub(crate) async fn words(fixture: &mut Fixture<Toy>, key: &str) -> Vec<String> {
    sqlx::query_scalar("select word from effects where key = $1 order by effect_id")
        .bind(key.to_owned())
        .fetch_all(fixture.db().await)
        .await
        .unwrap()
}

impl Reactor for Toy {
    type Input = Add;
    type World = World;

    fn hears(&self) -> &'static [&'static str] {
        &[TOPIC]
    }

    fn is_known(&self, event_type: &str) -> bool {
        [ADDED, NOTED].contains(&event_type)
    }

    fn may_linger(&self, event_type: &str) -> bool {
        event_type == NOTED
    }

    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Add>>, Park> {
        let word = String::from_utf8(message.payload.clone())
            .map_err(|_| Park::undecodable("it is not text"))?;
        panic_at("read", [word.as_str()]);
        if word == "ignored" {
            return Ok(None);
        }
        let key = String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned();
        Ok(Some(DecodedMessage::once(Add { key, word, heard: true })))
    }

    async fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Add],
        locking: LockPolicy,
    ) -> sqlx::Result<World> {
        panic_at("load", batch.iter().map(|add| add.word.as_str()));
        let mut keys: Vec<String> = batch.iter().map(|add| add.key.clone()).collect();
        let mut held = BTreeSet::new();
        if locking == LockPolicy::SkipHeld {
            held.extend(held_counters(db, &keys).await?);
            keys.retain(|key| !held.contains(key));
        }
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
            "select key, total, said, heard from counters where key = any($1) order by key for update",
        )
        .bind(keys)
        .fetch_all(db)
        .await?;
        let counters = rows
            .into_iter()
            .map(|(key, total, said, heard)| (key, Counter { total, said, heard, is_new: false }));
        Ok(World { counters: counters.collect(), effects: Vec::new(), held })
    }

    fn held(&self, world: &World, add: &Add) -> Option<HeldRow> {
        world.held.contains(&add.key).then(|| HeldRow::new("counter", &add.key))
    }

    fn heard<'w>(&self, world: &'w mut World, input: &Add) -> Option<&'w mut i64> {
        input.heard.then_some(&mut world.counters.get_mut(&input.key)?.heard)
    }

    fn decide(
        &self,
        world: &mut World,
        add: &Add,
        context: &DecisionContext,
    ) -> Result<Effects, Park> {
        panic_at("decide", [add.word.as_str()]);
        if add.word == "undecidable" {
            return Err(Park { class: "undecidable", reason: "nobody can decide this".to_owned() });
        }
        if add.word == "busy" {
            let answer = Answer { status: 503, ..Answer::default() };
            return Ok(Effects { answer, ..Effects::default() });
        }
        if add.word == "provisional" {
            let answer = Answer { status: 409, ..Answer::default() };
            return Ok(Effects { answer, is_provisional: true, ..Effects::default() });
        }
        let counter = world
            .counters
            .entry(add.key.clone())
            .or_insert_with(|| Counter { is_new: true, ..Counter::default() });
        counter.total += 1;
        counter.said += 1;
        world.effects.push((add.key.clone(), add.word.clone()));
        let announced = OutboxEvent {
            event_id: context.new_id(),
            key: add.key.clone().into_bytes(),
            version: counter.said,
            event_type: SAID,
            payload: add.word.clone().into_bytes(),
        };
        let body = format!("{} {}", add.word, counter.total).into_bytes();
        let headers = vec![("location".to_owned(), format!("/{}", add.key))];
        let answer = Answer { status: 201, headers, body };
        Ok(Effects { announced: vec![announced], answer, ..Effects::default() })
    }

    fn closing(&self, world: &mut World, _turn: &DecisionContext) -> Vec<OutboxEvent> {
        panic_at("closing", world.effects.iter().map(|(_, word)| word.as_str()));
        Vec::new()
    }

    fn committed(&self, world: World) {
        panic_at("committed", world.effects.iter().map(|(_, word)| word.as_str()));
    }

    async fn save(&self, db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
        panic_at("save", world.effects.iter().map(|(_, word)| word.as_str()));
        for is_new in [true, false] {
            let rows: Vec<_> =
                world.counters.iter().filter(|(_, it)| it.is_new == is_new).collect();
            let statement = if is_new {
                "insert into counters (key, total, said, heard)
                 select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])"
            } else {
                "update counters c set total = n.total, said = n.said, heard = n.heard
                 from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) as n (key, total, said, heard)
                 where c.key = n.key"
            };
            let done = sqlx::query_as::<_, ()>(statement)
                .bind(rows.iter().map(|(key, _)| (*key).clone()).collect::<Vec<_>>())
                .bind(rows.iter().map(|(_, it)| it.total).collect::<Vec<_>>())
                .bind(rows.iter().map(|(_, it)| it.said).collect::<Vec<_>>())
                .bind(rows.iter().map(|(_, it)| it.heard).collect::<Vec<_>>());
            sqlx::Executor::execute(&mut *db, done)
                .await
                .and_then(|done| wrote(&done, rows.len()))?;
        }
        let (keys, words): (Vec<_>, Vec<_>) = world.effects.iter().cloned().unzip();
        let insert = sqlx::query_as::<_, ()>(
            "insert into effects (key, word)
             select key, word from unnest($1::text[], $2::text[]) with ordinality as e (key, word, place)
             order by place",
        );
        sqlx::Executor::execute(&mut *db, insert.bind(keys).bind(words)).await.map(drop)
    }
}

/// Makes the toy panic at `place` if a word is `panic in <place>`.
fn panic_at<'a>(place: &str, words: impl IntoIterator<Item = &'a str>) {
    let mut words = words.into_iter();
    assert!(!words.any(|word| word.strip_prefix("panic in ") == Some(place)), "the toy broke");
}

/// Locks the counters that no session holds, and returns the keys of those that one does.
async fn held_counters(db: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "with free as (
             select key from counters where key = any($1) order by key for update skip locked
         )
         select key from counters where key = any($1) and key not in (select key from free)",
    )
    .bind(keys)
    .fetch_all(db)
    .await
}
