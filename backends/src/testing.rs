//! What tests get: a database, topics, or servers that they may break.
//!
//! One PostgreSQL and one Kafka serve all tests of a process; each is started by the first test
//! that asks, and ends with the process. Each test has a database and topics of its own there. A
//! test that kills or restarts a server takes a private one. With `SHOP_BACKEND=compose` they run in
//! containers. The functions panic where a server cannot be had: a test has nothing better to do.

use std::{
    fmt::Display,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use crate::{
    Kafka, Postgres, Watchdog, is_in_containers,
    kafka::{self, SecureListener},
    machine, postgres,
    server::Launch,
    topics::Topic,
};

mod authority;
mod container;

pub use authority::{TestAuthority, TestCertificate};

/// A folder of this process, and the watchdog that removes it when the process ends.
struct Place {
    folder: PathBuf,
    watchdog: Arc<Watchdog>,
}

/// Tests share servers and have no common owner, so this is the one file with statics.
static PLACE: OnceLock<Place> = OnceLock::new();
static POSTGRES: OnceCell<Arc<Postgres>> = OnceCell::const_new();
static KAFKA: OnceCell<Arc<Kafka>> = OnceCell::const_new();

/// How often other free ports are tried when another process has taken one.
const PORTS_TRIED: usize = 3;

/// A database of the test's own, on the server that the tests of this process share.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    name: String,
    server: Arc<Postgres>,
}

impl TestDatabase {
    /// The database's address, for the superuser.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The database's name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A broker that the tests of this process share.
#[derive(Clone, Debug)]
pub struct TestKafka {
    server: Arc<Kafka>,
}

impl TestKafka {
    /// The address that clients connect to first.
    pub fn bootstrap(&self) -> String {
        self.server.bootstrap()
    }

    /// Makes topics of the test's own (name and partitions), and returns their full names.
    pub async fn topics<const N: usize>(
        &self,
        prefix: &str,
        wanted: [(&str, i32); N],
    ) -> [String; N] {
        create_topics(&self.server, prefix, wanted).await
    }
}

/// Makes topics of the test's own on any broker, and returns their full names.
pub async fn create_topics<const N: usize>(
    server: &Kafka,
    prefix: &str,
    wanted: [(&str, i32); N],
) -> [String; N] {
    let own = machine::random_word();
    let names = wanted.map(|(name, partitions)| (format!("{prefix}-{own}.{name}"), partitions));
    let topics: Vec<_> = names
        .iter()
        .cloned()
        .map(|(name, partitions)| Topic { name, partitions, config: [].into() })
        .collect();
    had(server.create_topics(&topics).await);
    names.map(|(name, _)| name)
}

/// A fresh database on the shared server.
pub async fn database() -> TestDatabase {
    let server =
        Arc::clone(POSTGRES.get_or_init(|| async { Arc::new(private_postgres().await) }).await);
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    had(server.create_database(&name).await);
    TestDatabase { name, server }
}

/// The broker that the tests of this process share.
pub async fn kafka() -> TestKafka {
    let server = KAFKA.get_or_init(|| async { Arc::new(private_kafka().await) }).await;
    TestKafka { server: Arc::clone(server) }
}

/// A PostgreSQL server of the test's own, which it may kill and restart.
pub async fn private_postgres() -> Postgres {
    let place = place();
    for tried in 1.. {
        let own = place.folder.join(format!("postgres-{}", machine::random_word()));
        let [port] = had(machine::free_ports());
        let settings =
            [("max_connections", "300"), ("shared_buffers", "128MB"), ("max_wal_size", "1GB")];
        let config = postgres::PostgresConfig {
            log: own.with_extension("log"),
            data: own,
            port,
            password: machine::random_word(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let launch: Launch<_> =
            if is_in_containers() { container::postgres } else { postgres::process };
        match Postgres::start_by(launch, config, &place.watchdog).await {
            Err(error) if tried < PORTS_TRIED && is_taken(&error) => {}
            started => return had(started),
        }
    }
    unreachable!("the last try returns")
}

/// A broker of the test's own, which it may kill and restart.
pub async fn private_kafka() -> Kafka {
    private_kafka_with([]).await
}

/// Such a broker with further listeners, whose ports are chosen here. One that has any is always a
/// process: users are made by one of Kafka's tools.
pub async fn private_kafka_with<const N: usize>(listeners: [SecureListener; N]) -> Kafka {
    let place = place();
    for tried in 1.. {
        let own = place.folder.join(format!("kafka-{}", machine::random_word()));
        let [port, controller_port] = had(machine::free_ports());
        let ports: [u16; N] = had(machine::free_ports());
        let secure = listeners.iter().zip(ports);
        let secure = secure.map(|(listener, port)| SecureListener { port, ..listener.clone() });
        let config = kafka::KafkaConfig {
            log: own.with_extension("log"),
            data: own,
            port,
            controller_port,
            proxied: Vec::new(),
            secure: secure.collect(),
            java: kafka::java_for_tests(),
        };
        let launch: Launch<_> =
            if N == 0 && is_in_containers() { container::kafka } else { kafka::process };
        match Kafka::start_by(launch, config, &place.watchdog).await {
            Err(error) if tried < PORTS_TRIED && is_taken(&error) => {}
            started => return had(started),
        }
    }
    unreachable!("the last try returns")
}

/// Calls `look` again and again until it returns `Ok`; after `within`, panics with what it saw
/// last.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub async fn eventually<T, Seen, Looking>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Looking,
) -> T
where
    Seen: Display,
    Looking: Future<Output = Result<T, Seen>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > within => {
                panic!("not within {within:?}: {what}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// A file of the test's own, which ends with the process.
pub fn file(content: &str) -> PathBuf {
    let path = place().folder.join(format!("file-{}", machine::random_word()));
    had(std::fs::write(&path, content).map_err(Into::into));
    path
}

fn place() -> &'static Place {
    PLACE.get_or_init(|| {
        // PostgreSQL's account must be able to enter the folder; others cannot guess its name.
        let folder = std::env::temp_dir().join(format!("shop-test-{}", machine::random_word()));
        had(std::fs::create_dir(&folder).map_err(Into::into));
        let watchdog = Arc::new(had(Watchdog::start(Some(&folder))));
        Place { folder, watchdog }
    })
}

fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("ddress already in use")
}

#[expect(clippy::panic, reason = "a test without its servers cannot go on")]
fn had<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}
