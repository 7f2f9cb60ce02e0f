//! How a service starts: migrations, connections, mailbox.

use std::sync::Arc;

use chassis::{Chassis, IdentitySettings, KafkaSettings, Secret, SecretFault, Settings, database};
use mailbox::{BATCH, COMMAND_DEADLINE, Clock, Mailbox, Options, Reactor, WeeklyTable};
use proto::{EVENT_TYPES, EventType, SealKeyRing};
use sqlx::{PgPool, migrate::Migrator};

use crate::health;

/// Connections of the pool for reading; batches have connections of their own.
const POOL_MAX: u32 = 8;

/// The settings that every service has: its process, who may call it, what it stands on.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceSettings {
    #[command(flatten)]
    pub chassis: Settings,
    #[command(flatten)]
    pub identity: IdentitySettings,
    /// PostgreSQL, as postgres://user:password@host:port/database, with
    /// ?sslmode=verify-full&sslrootcert=FILE where connections are to be protected; also sslcert and
    /// sslkey
    #[arg(long, env = "SHOP_DATABASE_URL", hide_env_values = true,
        value_parser = database::database_url)]
    pub database_url: Secret<String>,
    #[command(flatten)]
    pub kafka: KafkaSettings,
}

impl ServiceSettings {
    /// Settings that do not go together.
    pub fn contradictions(&self) -> Vec<String> {
        self.kafka.security.contradictions()
    }
}

/// The key of payment details, for who seals and who opens them.
#[derive(Clone, Debug, clap::Args)]
pub struct SealSettings {
    /// What payment details are sealed with: 32 bytes in base64; several, with white space between
    /// them, all open, and the first seals. order-svc and payment-svc have the same; a new key goes
    /// in front, at payment-svc first, and the old one goes once no order placed with it is open
    #[arg(long, env = "SHOP_SEAL_KEY", hide_env_values = true, value_parser = seal_key)]
    pub seal_key: Secret<SealKeyRing>,
}

fn seal_key(text: &str) -> Result<Secret<SealKeyRing>, SecretFault> {
    SealKeyRing::parse(text).map(Secret::new).map_err(|error| SecretFault(error.to_string()))
}

/// What [`start`] needs to know of a service.
pub struct ServiceSpec<'a> {
    /// Its name: consumer group, health check, metrics.
    pub name: &'static str,
    /// The topics that it publishes on.
    pub says: &'a [&'a str],
    pub migrator: &'static Migrator,
    /// Its own tables that are partitioned by weeks.
    pub weekly: &'static [WeeklyTable],
}

/// Brings the schema up to date and opens the mailbox, whose loops run from now on. Returns the
/// pool for reading, and the mailbox.
pub async fn start<R: Reactor>(
    chassis: &mut Chassis,
    settings: &ServiceSettings,
    service: ServiceSpec<'_>,
    reactor: R,
) -> anyhow::Result<(PgPool, Mailbox<R>)> {
    mailbox::describe_metrics();
    let url = settings.database_url.expose();
    // First of all, so that `/readyz` says what a start waits for.
    database::watch(&chassis.health, url)?;
    database::migrate(url, service.migrator).await?;
    let pool = database::connect_pool(url, POOL_MAX).await?;
    chassis.probes.add_pool(pool.clone());
    let options = Options {
        instance: settings.chassis.instance(),
        weekly: service.weekly,
        ..options(service.name, service.says, url, settings.kafka.properties())
    };
    let (mailbox, loops) = Mailbox::open(options, Arc::new(reactor)).await?;
    health::watch(&chassis.health, &mailbox);
    for mailbox::Loop { name, ends_last, run } in loops {
        if ends_last {
            chassis.tasks.spawn_last(name, run);
        } else {
            chassis.tasks.spawn(name, run);
        }
    }
    Ok((pool, mailbox))
}

/// The mailbox's options for a service that publishes on the topics `says`, and reaches Kafka with
/// these settings of librdkafka.
pub fn options(
    service: &'static str,
    says: &[&str],
    database_url: &str,
    kafka: impl Iterator<Item = (String, String)>,
) -> Options {
    let said = EVENT_TYPES.iter().filter(|it| says.contains(&it.topic));
    let event_types: Vec<_> = said.clone().map(|it| (it.number, it.topic, it.name)).collect();
    Options {
        database_url: database_url.to_owned(),
        kafka: kafka.collect(),
        service,
        instance: String::new(),
        source: said.map(EventType::source).next().expect("every service says something"),
        event_types,
        weekly: &[],
        clock: Clock::new(chassis::clock::now, chassis::clock::new_id),
        batch: BATCH,
        command_deadline: COMMAND_DEADLINE,
    }
}
