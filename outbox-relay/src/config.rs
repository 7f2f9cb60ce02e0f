//! Every setting of the relay.

use std::{fmt, sync::Arc, time::Duration};

use chassis::{
    KafkaSettings, ProcessConfig, SecretFault, Settings, config::duration, database::database_url,
};

/// Longest pause between polls. A longer one would delay events by seconds, and come near the ten
/// idle seconds after which PostgreSQL takes a leader for frozen and ends its session.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Moves the outboxes of the services' databases to Kafka
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub options: RelayOptions,
    #[command(flatten)]
    pub chassis: Settings,
}

impl ProcessConfig for Config {
    /// The relay has no public listener; the private one's port is this plus a thousand.
    const PORT: &'static str = "8005";

    fn settings(&self) -> &Settings {
        &self.chassis
    }

    fn contradictions(&self) -> Vec<String> {
        let mut wrong = self.options.kafka.security.contradictions();
        for (index, database) in self.options.databases.iter().enumerate() {
            if self.options.databases[..index].iter().any(|other| other.label == database.label) {
                wrong.push(format!("SHOP_DATABASES: {} is there twice", database.label));
            }
        }
        if self.options.poll_hot > self.options.poll_idle {
            wrong.push("SHOP_POLL_HOT is longer than SHOP_POLL_IDLE".to_owned());
        }
        for (name, pause) in [
            ("SHOP_POLL_IDLE", self.options.poll_idle),
            ("SHOP_POLL_GUARD", self.options.poll_guard),
        ] {
            if pause > PAUSE_MAX {
                wrong.push(format!("{name} is longer than {PAUSE_MAX:?}"));
            }
        }
        wrong
    }
}

/// What the relay's loops need to know.
#[derive(Clone, Debug, clap::Args)]
pub struct RelayOptions {
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// The databases to serve: orders=postgres://…,payments=postgres://…, each as a service has its
    /// own (`SHOP_DATABASE_URL`)
    #[arg(
        long,
        env = "SHOP_DATABASES",
        hide_env_values = true,
        required = true,
        value_delimiter = ',',
        value_parser = Database::parse
    )]
    pub databases: Vec<Database>,
    /// Pause between polls while events come; not above the next one
    #[arg(long, env = "SHOP_POLL_HOT", default_value = "1ms", value_parser = duration)]
    pub poll_hot: Duration,
    /// Pause between polls while nothing comes; at most 5 s
    #[arg(long, env = "SHOP_POLL_IDLE", default_value = "50ms", value_parser = duration)]
    pub poll_idle: Duration,
    /// Pause between polls while wake-ups announce all that comes; at most 5 s
    #[arg(long, env = "SHOP_POLL_GUARD", default_value = "500ms", value_parser = duration)]
    pub poll_guard: Duration,
    /// How often the cursor is made durable while it moves
    #[arg(long, env = "SHOP_TICK_EVERY", default_value = "250ms", value_parser = duration)]
    pub tick_every: Duration,
    /// How often leaves are sealed and dropped, and old ticks forgotten
    #[arg(long, env = "SHOP_TIDY_EVERY", default_value = "30s", value_parser = duration)]
    pub tidy_every: Duration,
    /// How long published events stay in the outbox
    #[arg(long, env = "SHOP_OUTBOX_RETENTION", default_value = "7d", value_parser = duration)]
    pub outbox_retention: Duration,
    /// How large an outbox may become (512MiB, 4GiB) before published events leave it earlier
    #[arg(long, env = "SHOP_OUTBOX_SIZE", default_value = "4GiB", value_parser = size)]
    pub outbox_size: u64,
    /// How requests to Kafka are compressed: worth its CPU where network or disk are scarce
    #[arg(long, env = "SHOP_COMPRESSION", default_value = "none")]
    pub compression: Compression,
    /// A lane stops and tries again when nothing is acknowledged for so long though Kafka answers
    #[arg(long, env = "SHOP_STALLED_AFTER", default_value = "30s", value_parser = duration)]
    pub stalled_after: Duration,
}

/// The compression of requests to Kafka, by librdkafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    None,
    Lz4,
}

impl Compression {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

/// One service's database.
#[derive(Clone)]
pub struct Database {
    /// The database's name in metrics and logs.
    pub label: Arc<str>,
    /// The advisory lock that makes one relay the database's leader.
    pub lock: i64,
    url: Arc<str>,
}

impl Database {
    /// The database at `url`, under the relay's own lock.
    pub fn new(label: &str, url: &str) -> Self {
        Self { label: label.into(), lock: crate::LOCK, url: url.into() }
    }

    /// Reads `orders=postgres://…`.
    pub fn parse(text: &str) -> Result<Self, SecretFault> {
        let wrong = "write label=postgres://user@host:port/database";
        let wrong = || SecretFault(wrong.to_owned());
        let (label, url) = text.split_once('=').ok_or_else(wrong)?;
        let is_named =
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_named {
            return Err(wrong());
        }
        // The label is not told: after a comma in a password, it may be the rest of that.
        Ok(Self::new(label, database_url(url)?.expose()))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Prints the label only: the address may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.label)
    }
}

/// A number of bytes with its unit: `512MiB`, `4GiB`.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and its unit: 512MiB or 4GiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert!(size("4").is_err());
        assert!(size("4GB").is_err());
    }

    #[test]
    fn pauses_that_would_end_the_leaders_session_are_refused() {
        use clap::Parser;
        for (name, text, is_fine) in [
            ("--poll-idle", "5s", true),
            ("--poll-idle", "10s", false),
            ("--poll-guard", "5s", true),
            ("--poll-guard", "1m", false),
        ] {
            let args = ["relay", "--kafka", "k:1", "--databases", "a=postgres://a/a", name, text];
            let wrong = Config::parse_from(args).contradictions();
            assert_eq!(wrong.is_empty(), is_fine, "{name} {text}: {wrong:?}");
        }
    }

    #[test]
    fn a_database_is_a_label_and_an_address() {
        let database = Database::parse("orders=postgres://me:secret@here:5432/orders").unwrap();
        assert_eq!(&*database.label, "orders");
        assert_eq!(format!("{database:?}"), "orders");
        assert!(Database::parse("postgres://here/orders").is_err());
    }
}
