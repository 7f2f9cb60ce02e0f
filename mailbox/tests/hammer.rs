//! Everything at once: messages, clients, operators, and failures of the database at random times;
//! afterwards each effect must be there exactly once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mailbox::{
    Command, Mailbox, Message, OperatorError,
    testing::{Fixture, Person},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    operators::{a_key, by_hand, options, under},
    proxy::Proxy,
    toy::{TOPIC, Toy, ask, clock, hear, prepare},
};

const KEYS: usize = 12;
const VERSIONS: i64 = 150;
const CONSUMERS: u64 = 3;
const CLIENTS: usize = 4;
const REQUESTS: usize = 60;
/// Each of these keys has one message that does not decode.
const POISONED: [usize; 2] = [3, 8];

/// The messages of all keys, mixed, each key's own in order.
fn script() -> Vec<Message> {
    let mut random = StdRng::seed_from_u64(7);
    let mut order: Vec<usize> = (0..KEYS)
        .flat_map(|key| std::iter::repeat_n(key, usize::try_from(VERSIONS).unwrap()))
        .collect();
    order.shuffle(&mut random);
    let mut versions = [0_i64; KEYS];
    let script = order.into_iter().enumerate().map(|(offset, key)| {
        versions[key] += 1;
        let version = versions[key];
        let mut message = hear(&format!("m{key}"), version, &version.to_string());
        message.offset = i64::try_from(offset).unwrap();
        if POISONED.contains(&key) && version == 40 {
            message.payload = vec![0xff];
        }
        message
    });
    script.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_everything_went_wrong_each_effect_is_there_once_and_in_order() {
    let server = backends::testing::private_postgres().await;
    server.create_database("toy").await.unwrap();
    let direct = server.url("toy");
    prepare(&direct).await;
    let proxy = Arc::new(Proxy::before(&direct).await);
    let done = Arc::new(AtomicBool::new(false));

    let mut chaos = JoinSet::new();
    chaos.spawn(terminate_backends(direct.clone(), Arc::clone(&done)));
    chaos.spawn(jump_beyond_the_leaves(direct.clone(), Arc::clone(&done)));
    chaos.spawn(hold_rows(direct.clone(), Arc::clone(&done)));
    let mut losses = JoinSet::new();
    losses.spawn(lose_commits(Arc::clone(&proxy), Arc::clone(&done)));

    // Two instances, because a client may repeat its key at the other one.
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    let mut mailboxes = Vec::new();
    for _ in 0..2 {
        let opened = options(proxy.url.clone(), "127.0.0.1:1".to_owned());
        let (mailbox, loops) = open(opened).await;
        for mailbox::Loop { run, .. } in loops.into_iter().filter(|it| it.name != "messages") {
            running.spawn(run(stop.clone()));
        }
        mailboxes.push(mailbox);
    }
    let messages = Arc::new(script());
    let mut work = JoinSet::new();
    for seed in 0..CONSUMERS {
        work.spawn(consume(proxy.url.clone(), Arc::clone(&messages), seed));
    }
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        // Clients 2k and 2k + 1 send the same requests, each to its own instance.
        clients.spawn(request(mailboxes[client % 2].clone(), client / 2));
    }
    // Keys are released while their messages still arrive.
    let heard = Arc::new(AtomicBool::new(false));
    let mut operators = JoinSet::new();
    for key in POISONED {
        let (mailbox, heard) = (mailboxes[0].clone(), Arc::clone(&heard));
        operators.spawn(async move { release(&mailbox, &format!("m{key}"), &heard).await });
    }
    work.join_all().await;
    heard.store(true, Ordering::SeqCst);
    let acknowledged: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    let early = operators.join_all().await;
    done.store(true, Ordering::SeqCst);
    let met = chaos.join_all().await;
    losses.join_all().await;
    stop.cancel();
    running.join_all().await;

    assert!(
        met.iter().all(|times| *times > 0),
        "sessions ended, leaves missed, rows held: {met:?}"
    );
    assert!(proxy.lost() > 0, "answers to commits were lost");
    assert!(early.contains(&true), "a key was released while its messages arrived");
    check(&direct, &acknowledged).await;
}

async fn open(options: mailbox::Options) -> (Mailbox<Toy>, Vec<mailbox::Loop>) {
    loop {
        if let Ok(opened) = Mailbox::open(options.clone(), Arc::new(Toy)).await {
            return opened;
        }
    }
}

/// Delivers the whole script in batches of random sizes, going back now and then, as a consumer
/// after a rebalance does.
async fn consume(url: String, script: Arc<Vec<Message>>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut toy = Fixture::new(&url, Arc::new(Toy), clock);
    let mut position = 0;
    while position < script.len() {
        let size = random.random_range(1..60).min(script.len() - position);
        toy.hear(script[position..position + size].to_vec()).await;
        position += size;
        if random.random_ratio(1, 10) {
            position -= random.random_range(0..position.min(80));
        }
    }
    while toy.waits() {
        toy.retry_held().await;
    }
}

/// Sends requests with keys, each repeated until it is answered; returns the acknowledged words.
async fn request(mailbox: Mailbox<Toy>, client: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..REQUESTS {
        let word = format!("c{client}-{number}");
        let key = mailbox::IdempotencyKey {
            caller: format!("client {client}"),
            route: "POST /toys".to_owned(),
            key: word.clone(),
            fingerprint: [1; 32],
        };
        loop {
            let input = ask(&format!("r{}", number % 5), &word);
            let command = Command { key: Some(key.clone()), ..Command::new(input) };
            if let Ok(outcome) = mailbox.submit(command).await {
                assert_eq!(outcome.answer.status, 201);
                acknowledged.push(word);
                break;
            }
        }
    }
    acknowledged
}

/// Discards the message of a key that does not decode, then releases those behind it. Returns
/// whether that began while messages still arrived.
async fn release(mailbox: &Mailbox<Toy>, key: &str, heard: &AtomicBool) -> bool {
    // Without an idempotency key, repeating a discard whose answer was lost would drop a sound
    // message.
    let wish = a_key(key, 1);
    let mut random = StdRng::seed_from_u64(23);
    loop {
        match mailbox.discard(TOPIC, key, "the hammer's own", under(&wish)).await {
            Ok(()) | Err(OperatorError::Answered(_)) => break,
            Err(_) => pause(&mut random, 100).await,
        }
    }
    let is_early = !heard.load(Ordering::SeqCst);
    loop {
        match mailbox.release(TOPIC, key, by_hand()).await {
            Ok(_) | Err(OperatorError::NotParked) => return is_early,
            Err(_) => pause(&mut random, 100).await,
        }
    }
}

/// Sleeps for a random time, so that failures strike at random moments.
async fn pause(random: &mut StdRng, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(5..most))).await;
}

async fn terminate_backends(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(11);
    let mut db = PgConnection::connect(&url).await.unwrap();
    let mut ended = 0;
    while !done.load(Ordering::SeqCst) {
        let kill = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
                    where application_name = 'test' or application_name like 'toy-svc%' order by random() limit 1) v";
        let killed: i64 = sqlx::query_scalar(kill).fetch_one(&mut db).await.unwrap();
        ended += u64::try_from(killed).unwrap();
        // Rare enough for a session to get something done between two of them, on a busy machine,
        // too.
        pause(&mut random, 400).await;
    }
    ended
}

/// A person at a prompt who selects a counter `for update` and does not end the transaction for a
/// while.
async fn hold_rows(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(19);
    let mut held = 0;
    while !done.load(Ordering::SeqCst) {
        let key = random.random_range(0..KEYS);
        let select = format!("select * from counters where key = 'm{key}'");
        let person = Person::holds(&url, &select).await;
        held += 1;
        pause(&mut random, 2_500).await;
        person.ends().await;
        pause(&mut random, 400).await;
    }
    held
}

/// Loses commits' replies half of the time: without the other half, a session that commits alone
/// would lose every reply, for ever.
async fn lose_commits(proxy: Arc<Proxy>, done: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(13);
    while !done.load(Ordering::SeqCst) {
        proxy.lose_commits(1);
        pause(&mut random, 120).await;
        proxy.lose_commits(0);
        pause(&mut random, 120).await;
    }
}

/// Moves the sequence beyond every leaf, as if the sweep had not run for long.
async fn jump_beyond_the_leaves(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut random = StdRng::seed_from_u64(17);
    let mut db = PgConnection::connect(&url).await.unwrap();
    let mut jumps = 0;
    for _ in 0..5 {
        if done.load(Ordering::SeqCst) {
            break;
        }
        jumps += 1;
        let jump = "select setval('outbox_pos', (select max(end_pos) from outbox_leaf))";
        sqlx::raw_sql(jump).execute(&mut db).await.unwrap();
        pause(&mut random, 400).await;
    }
    jumps
}

async fn check(url: &str, acknowledged: &[String]) {
    let mut db = PgConnection::connect(url).await.unwrap();
    let effects: Vec<(String, String)> =
        sqlx::query_as("select key, word from effects order by effect_id")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, word) in effects {
        by_key.entry(key).or_default().push(word);
    }
    for key in 0..KEYS {
        let expected: Vec<String> = (1..=VERSIONS)
            .filter(|version| !(POISONED.contains(&key) && *version == 40))
            .map(|version| version.to_string())
            .collect();
        assert_eq!(by_key[&format!("m{key}")], expected, "key m{key}: once each and in order");
    }
    let mut times: HashMap<&String, usize> = HashMap::new();
    for word in by_key.iter().filter(|(key, _)| key.starts_with('r')).flat_map(|(_, words)| words) {
        *times.entry(word).or_default() += 1;
    }
    assert_eq!(times.len(), CLIENTS / 2 * REQUESTS, "two owners of a key are one");
    assert!(times.values().all(|times| *times == 1), "a command took effect twice");
    assert!(acknowledged.iter().all(|word| times.contains_key(word)));

    let events: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("select key, version from outbox order by pos")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let mut said: HashMap<Vec<u8>, i64> = HashMap::new();
    for (key, version) in events {
        let last = said.entry(key).or_default();
        assert_eq!(version, *last + 1, "versions have no gap and go by position");
        *last = version;
    }
    for (table, expected) in [("parked_keys", 0_i64), ("parked", 0)] {
        let count = format!("select count(*) from {table}");
        let found: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut db).await.unwrap();
        assert_eq!(found, expected, "nothing healthy is parked in {table}");
    }
    let discarded: i64 =
        sqlx::query_scalar("select count(*) from operations where action = 'parked.discard'")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(usize::try_from(discarded).unwrap(), POISONED.len(), "and what was is told");
}
