//! All that a stack keeps, wherever it keeps it: tables, topics, logs and the files of its
//! stand-ins for the world.

use std::{fmt::Write as _, path::Path, process::Command, time::Duration};

use e2e::Shop;
use rdkafka::{
    Message as _,
    consumer::Consumer as _,
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};
use shop::follow;
use sqlx::{Connection as _, PgConnection};

/// How long Kafka may take to tell of its topics, and to give the next record.
const PATIENCE: Duration = Duration::from_secs(30);

/// A place that keeps something, and all that it keeps.
#[derive(Debug)]
pub(super) struct Place {
    /// Such as `table orders.order_texts`, `topic shop.orders.v1` or `log gateway.log`.
    pub(super) name: String,
    content: String,
}

impl Place {
    fn new(name: String, bytes: &[u8]) -> Self {
        // What is searched for is ASCII, so bytes that are no UTF-8 may be lost.
        Self { name, content: String::from_utf8_lossy(bytes).into_owned() }
    }

    /// Whether `word` stands in it, as text or within bytes, which a dump writes as hexadecimals.
    pub(super) fn holds(&self, word: &str) -> bool {
        self.content.contains(word) || self.content.contains(&hexadecimal(word))
    }
}

fn hexadecimal(word: &str) -> String {
    word.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Reads everything that the stack keeps now.
pub(super) async fn everything(shop: &Shop) -> Vec<Place> {
    let mut places = Vec::new();
    for database in databases(shop).await {
        places.extend(tables(shop, &database));
    }
    let kafka = shop.stack().kafka();
    places.extend(tokio::task::spawn_blocking(move || topics(&kafka)).await.unwrap());
    for process in shop.stack().processes {
        let log = shop.log(&process.name);
        places.push(Place::new(format!("log {}.log", process.name), log.as_bytes()));
    }
    places.push(file("log", &shop.home().log("supervisor")));
    for (process, name) in
        [("smtp-sink", "messages.jsonl"), ("simulator", "simulator-ledger.jsonl")]
    {
        places.push(file("file", &shop.file(process, name)));
    }
    places
}

fn file(kind: &str, path: &Path) -> Place {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Place::new(format!("{kind} {name}"), &std::fs::read(path).unwrap())
}

async fn databases(shop: &Shop) -> Vec<String> {
    let url = shop.stack().database_as_superuser("postgres");
    let mut db = PgConnection::connect(&url).await.unwrap();
    let names = "select datname::text from pg_database where not datistemplate order by 1";
    sqlx::query_scalar(names).fetch_all(&mut db).await.unwrap()
}

/// Every table of a database, as `pg_dump` writes it.
fn tables(shop: &Shop, database: &str) -> Vec<Place> {
    let dump = pg_dump(shop, database).arg("--data-only").output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout).unwrap();
    let mut tables = Vec::new();
    let mut lines = dump.lines();
    while let Some(line) = lines.next() {
        if let Some(table) = line.strip_prefix("COPY ") {
            let table = table.split(' ').next().unwrap().trim_start_matches("public.");
            let rows: Vec<_> = lines.by_ref().take_while(|row| *row != "\\.").collect();
            let name = format!("table {database}.{table}");
            tables.push(Place::new(name, rows.join("\n").as_bytes()));
        }
    }
    tables
}

/// The `pg_dump` beside the server that runs, for a database.
fn pg_dump(shop: &Shop, database: &str) -> Command {
    let stack = shop.stack();
    if let Some(project) = &stack.project {
        let mut command = Command::new("docker");
        command.args(["exec", &project.container("postgres"), "pg_dump", "--username", "postgres"]);
        command.arg(database);
        return command;
    }
    let pid = stack.process("postgres").unwrap().pid.unwrap();
    let server = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let mut command = Command::new(server.with_file_name("pg_dump"));
    command.args(["--dbname", &stack.database_as_superuser(database)]);
    command
}

/// Every topic that Kafka has, its own as well: keys, headers and payloads of all records.
fn topics(kafka: &str) -> Vec<Place> {
    let consumer = follow::consumer(kafka, &[("enable.partition.eof", "true")]).unwrap();
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let read = |topic: &rdkafka::metadata::MetadataTopic| {
        let bounds = follow::bounds(&consumer, topic.name()).unwrap();
        let from = bounds.iter().map(|bound| bound.low).collect();
        follow::assign(&consumer, &[(topic.name(), from)]).unwrap();
        let (mut bytes, mut ended) = (Vec::new(), 0);
        while ended < bounds.len() {
            match consumer.poll(PATIENCE).expect("records, or the end of a partition") {
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                record => add(&mut bytes, &record.unwrap()),
            }
        }
        Place::new(format!("topic {}", topic.name()), &bytes)
    };
    metadata.topics().iter().map(read).collect()
}

fn add(bytes: &mut Vec<u8>, record: &BorrowedMessage<'_>) {
    bytes.extend_from_slice(record.key().unwrap_or_default());
    for header in record.headers().into_iter().flat_map(|headers| headers.iter()) {
        bytes.push(b'\n');
        bytes.extend_from_slice(header.key.as_bytes());
        bytes.extend_from_slice(header.value.unwrap_or_default());
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(record.payload().unwrap_or_default());
    bytes.push(b'\n');
}
