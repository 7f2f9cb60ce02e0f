//! Connections to PostgreSQL, and the migrations of its schema.
//!
//! A `begin()` that is dropped halfway (its client went away) may leave a transaction open on a
//! pooled connection: the next borrower's insert would be answered and never committed (sqlx 0.8.4
//! to 0.9.0). So every connection is rolled back when it returns to the pool.

mod address;

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Mutex;

pub use address::database_url;

use crate::health::Health;

/// Limit of waiting for a connection: a request that gets none by then is refused as overload.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection: one that outlived a failover or a change of the schema is closed
/// by then, whoever uses it.
const MAX_LIFETIME: Duration = Duration::from_mins(1);
/// Idle time after which a connection is pinged before it is used: its server may have ended it,
/// and over TCP nobody notices before the next statement.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// When a statement last failed because a connection's plans are for tables that have changed
/// since: connections from before then are closed. One for the whole process, because the error
/// does not say which pool or connection it came from, and opening a connection too many costs
/// milliseconds.
static PLANS_OUTDATED: RwLock<Option<Instant>> = RwLock::new(None);

/// Pauses between attempts at start-up to reach a database: doubled each time, up to 2 s.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A pool of at most `max` connections; waits until the database can be reached.
pub async fn connect_pool(url: &str, max: u32) -> anyhow::Result<PgPool> {
    let options = options(url)?;
    ready(&options).await.close().await.context("could not close the first connection")?;
    let pool = PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Testing costs a round trip for each borrow, and is no use where connections are busy.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(MAX_LIFETIME)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= ASK_AFTER {
                    connection.ping().await?;
                }
                Ok(!is_outdated(meta.age))
            })
        })
        .after_release(|connection, meta| {
            Box::pin(async move {
                connection.execute("rollback").await?;
                Ok(!is_outdated(meta.age))
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// Takes note of a failed statement. Returns whether the state of the database is to blame, so that
/// the same request may succeed a moment later.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else {
        return matches!(
            error,
            sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed
        );
    };
    let code = database.code().unwrap_or_default();
    match &*code {
        // A cached plan does not fit the tables any more; other connections have cached it, too.
        "0A000" => {
            *PLANS_OUTDATED.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            true
        }
        // A statement that a proxy lost, a proxy's own error, or a database that is not created
        // yet.
        "26000" | "XX000" | "3D000" => true,
        // Connections, logins, transactions, resources, object states, operator intervention and
        // system errors. Also a session that was ended while idle, which its next statement
        // reports.
        code => {
            ["08", "25", "28", "40", "53", "55", "57", "58"].contains(&code.get(..2).unwrap_or(""))
        }
    }
}

/// Whether a connection of this age may have cached plans for tables that have changed since.
fn is_outdated(age: Duration) -> bool {
    let since = *PLANS_OUTDATED.read().unwrap_or_else(PoisonError::into_inner);
    since.is_some_and(|since| age >= since.elapsed())
}

/// Brings the schema up to date. Processes that do so at the same time wait for one another,
/// because the migrator holds an advisory lock.
pub async fn migrate(url: &str, migrator: &'static Migrator) -> anyhow::Result<()> {
    let mut connection = ready(&plain_options(url)?).await;
    migrator.run(&mut connection).await.context("could not migrate the database")?;
    connection.close().await.context("could not close the migration's connection")
}

/// Adds the probe `database` to `health`, on a connection of its own: a pool that is exhausted does
/// not mean that the database is away.
pub fn watch(health: &Health, url: &str) -> anyhow::Result<()> {
    let options = Arc::new(options(url)?);
    let kept: Arc<Mutex<Option<PgConnection>>> = Arc::default();
    health.probe("database", move || {
        let (options, kept) = (Arc::clone(&options), Arc::clone(&kept));
        async move { look(&options, &kept).await.map_err(|error| error.to_string()) }
    });
    Ok(())
}

async fn look(options: &PgConnectOptions, kept: &Mutex<Option<PgConnection>>) -> sqlx::Result<()> {
    let mut kept = kept.lock().await;
    // Taken out while it is used, so that a probe that is dropped halfway leaves no half-used one.
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    connection.ping().await?;
    *kept = Some(connection);
    Ok(())
}

/// Connects, again and again until it succeeds. Logs why it does not whenever that changes.
async fn ready(options: &PgConnectOptions) -> PgConnection {
    let mut backoff = BACKOFF_FIRST;
    let mut told = String::new();
    loop {
        match options.connect().await {
            Ok(connection) => return connection,
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    told = text;
                    tell(&error, options);
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

fn tell(error: &sqlx::Error, options: &PgConnectOptions) {
    let (host, database) = (options.get_host(), options.get_database());
    let is_refused = is_refusal(error);
    let error = error as &dyn std::error::Error;
    if is_refused {
        tracing::warn!(
            error,
            host,
            database,
            "the database refuses the connection, or its certificate is refused"
        );
    } else {
        tracing::info!(error, host, database, "waiting for the database");
    }
}

/// Whether a connection failed for a reason that hardly passes by itself: the certificate of one of
/// both (rustls's errors come as invalid data), no TLS where it is demanded, or the login.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => true,
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("28")),
        _ => false,
    }
}

fn plain_options(url: &str) -> anyhow::Result<PgConnectOptions> {
    let options: PgConnectOptions = url.parse().context("could not read the database's URL")?;
    // A rollback without a transaction, as on each return to the pool, would be logged as a
    // warning.
    Ok(options.options([("client_min_messages", "error")]))
}

fn options(url: &str) -> anyhow::Result<PgConnectOptions> {
    Ok(plain_options(url)?.options([
        // Longer than any of our statements takes, shorter than a caller waits.
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        // With these a peer that vanished holds its locks for 25 s at most.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]))
}
