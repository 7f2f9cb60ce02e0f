//! The servers of the benchmarks: PostgreSQL, Kafka and the relay as a process, and their CPU and
//! memory.

use std::{fs, process::Stdio, sync::Arc, time::Duration};

use backends::{Kafka, Postgres, Watchdog, kafka, machine, postgres, testing};
use rand::Rng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::{Child, Command};

const MIGRATION: &str = include_str!("../../../mailbox/migrations/0001_mailbox.sql");

/// Clock ticks a second in `/proc`, on every Linux.
const TICKS: u64 = 100;

pub(crate) struct Servers {
    postgres: Postgres,
    kafka: Kafka,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let folder =
            std::env::temp_dir().join(format!("relay-bench-{}", rand::rng().random::<u32>()));
        fs::create_dir(&folder).unwrap();
        let watchdog = Arc::new(Watchdog::start(Some(&folder)).unwrap());
        let [port, broker, controller] = machine::free_ports().unwrap();
        let settings =
            [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("wal_buffers", "64MB")];
        let postgres = postgres::PostgresConfig {
            data: folder.join("postgres"),
            log: folder.join("postgres.log"),
            port,
            password: "bench".to_owned(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let kafka = kafka::KafkaConfig {
            data: folder.join("kafka"),
            log: folder.join("kafka.log"),
            port: broker,
            controller_port: controller,
            proxied: Vec::new(),
            secure: Vec::new(),
            java: kafka::java_for_load("1g"),
        };
        let postgres = Postgres::start(postgres, &watchdog).await.unwrap();
        let kafka = Kafka::start(kafka, &watchdog).await.unwrap();
        Self { postgres, kafka }
    }

    pub(crate) fn kafka(&self) -> String {
        self.kafka.bootstrap()
    }

    pub(crate) async fn stage(&self, name: &str) -> Stage {
        self.postgres.create_database(name).await.unwrap();
        let [topic] = testing::create_topics(&self.kafka, "bench", [(name, 12)]).await;
        let stage = Stage { name: name.to_owned(), url: self.postgres.url(name), topic };
        let mut session = stage.session().await;
        run(&mut session, MIGRATION).await;
        let about = format!(
            "insert into outbox_identity (source) values ('/shop/order-svc');
             insert into event_types values (1, '{}', 'OrderPlaced')",
            stage.topic
        );
        run(&mut session, &about).await;
        stage
    }

    /// The CPU time of those processes of PostgreSQL that still run.
    pub(crate) fn postgres_cpu(&self) -> Duration {
        let postmaster = self.postgres.pid().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| field(*pid, 1).is_some_and(|parent| parent == u64::from(postmaster)))
            .map(cpu_of)
            .sum()
    }

    pub(crate) fn kafka_cpu(&self) -> Duration {
        cpu_of(self.kafka.pid().unwrap())
    }

    pub(crate) async fn stop(self) {
        self.kafka.stop().await.unwrap();
        self.postgres.stop().await.unwrap();
    }
}

/// A database with an outbox, and its topic.
pub(crate) struct Stage {
    name: String,
    url: String,
    pub(crate) topic: String,
}

impl Stage {
    pub(crate) async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Writes a backlog: events of 250 bytes with a trace, over a thousand keys.
    pub(crate) async fn fill(&self, events: u64) {
        let mut session = self.session().await;
        for from in (0..events).step_by(100_000) {
            let to = (from + 100_000).min(events) - 1;
            let text = format!(
                "insert into outbox (event_id, key, version, type, trace, payload)
                 select gen_random_uuid(), ('0190d5a4-7a3b-7c21-8d5e-' || lpad((n % 1000)::text, 12, '0'))::bytea,
                   n / 1000 + 1, 1, decode(repeat('ab', 25), 'hex'), substr(noise, 1 + (n % 1000)::int, 250)
                 from generate_series({from}, {to}) as n,
                   (select string_agg(sha256(k::text::bytea), ''::bytea) as noise from generate_series(1, 40) as k) as noise"
            );
            run(&mut session, &text).await;
        }
        run(&mut session, "checkpoint").await;
        session.close().await.unwrap();
        // The session's backend has to be gone before anybody counts CPU time.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Opens a transaction with an id and an event of its own, which stays open until it is
    /// dropped.
    pub(crate) async fn hold(&self) -> PgConnection {
        let mut session = self.session().await;
        run(
            &mut session,
            "begin;
             insert into outbox (event_id, key, version, type, payload)
             values (gen_random_uuid(), 'held', 1, 1, 'held')",
        )
        .await;
        session
    }
}

pub(crate) async fn run(session: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(session).await.unwrap();
}

/// The relay's process, as it is built for use.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(kafka: &str, stages: &[&Stage]) -> Self {
        let databases: Vec<_> =
            stages.iter().map(|stage| format!("{}={}", stage.name, stage.url)).collect();
        let child = Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
            .args(["--port", "0", "--kafka", kafka, "--databases", &databases.join(",")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id().unwrap()
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.pid())
    }

    /// The peak memory in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub(crate) async fn stop(mut self) {
        self.0.kill().await.unwrap();
    }
}

/// The CPU time of the benchmark's own process, which is mostly the consumer's.
pub(crate) fn own_cpu() -> Duration {
    cpu_of(std::process::id())
}

/// User and system time of a process.
fn cpu_of(pid: u32) -> Duration {
    let ticks = field(pid, 11).unwrap_or_default() + field(pid, 12).unwrap_or_default();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// A field of `/proc/<pid>/stat`, counted from the one after the process's name.
fn field(pid: u32, index: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(index)?.parse().ok()
}
