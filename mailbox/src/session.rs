//! A database session that one loop has to itself: opened when needed, closed after any doubt.

use std::{io, str::FromStr, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

/// Limit of a statement, longer than any batch takes; a batch that runs into it is halved.
const STATEMENT_TIMEOUT: &str = "15s";
/// Limit of waiting for a lock, longer than another batch takes. Whoever holds a row for longer is
/// a person or is frozen: others go on without the items that need that row.
pub(crate) const LOCK_TIMEOUT: &str = "1s";
/// Lock limit of a batch that leaves held rows out: it is hardly to wait for any lock.
const SHORT_LOCK_TIMEOUT: &str = "100ms";
/// Limit of connecting to a database, which may not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a statement about a row or two, which takes milliseconds. A host that vanished without
/// a word never answers, and TCP notices that only after a quarter of an hour.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a small statement; fails if the database does not answer within [`ANSWER_TIMEOUT`].
pub(crate) async fn within<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within_limit(ANSWER_TIMEOUT, answer).await
}

/// Like [`within`], with a limit of the caller's choice.
pub(crate) async fn within_limit<T>(
    limit: Duration,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_elapsed| {
        let silence = "the database did not answer in time";
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, silence)))
    })
}

/// A session that reconnects by itself.
pub(crate) struct Session {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Session {
    /// A session called `name`, for batches. Each statement is planned once, and plans that scan a
    /// table or hash are ruled out, so that a plan made while a table was small suits a large one,
    /// too: planning anew for each batch costs more than a small batch itself.
    pub(crate) fn new(url: &str, name: &str) -> sqlx::Result<Self> {
        let options = PgConnectOptions::from_str(url)?
            .application_name(name)
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
                // A statement after a lock must see what the lock waited for, whatever the role's
                // own default is.
                ("default_transaction_isolation", "read committed"),
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", LOCK_TIMEOUT),
                ("idle_in_transaction_session_timeout", "5s"),
                // The server ends a statement whose client has given up or died, and frees its
                // rows.
                ("client_connection_check_interval", "1s"),
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "2"),
                ("tcp_user_timeout", "10000"),
            ])
            // Batches repeat a fixed set of statements, fewer than this.
            .statement_cache_capacity(200)
            .disable_statement_logging();
        Ok(Self { options, connection: None })
    }

    /// The open connection, opened now if there is none.
    pub(crate) async fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        if self.connection.is_none() {
            // In a box: opening is rare, and every future that uses a session holds this one.
            let opened = Box::pin(within_limit(CONNECT_TIMEOUT, self.options.connect())).await?;
            self.connection = Some(opened);
        }
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Closes the connection: a statement under way on it has ended by then, or the server ends it.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // A farewell only: the server sees the socket close in any case.
            let _ended =
                tokio::time::timeout(Duration::from_millis(200), connection.close_hard()).await;
        }
    }
}

/// Gives the rest of this transaction the short lock limit ([`SHORT_LOCK_TIMEOUT`]).
pub(crate) async fn shorten_lock_timeout(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- session.shorten_lock_timeout
        select set_config('lock_timeout', $1, true) as "set!""#,
        SHORT_LOCK_TIMEOUT
    )
    .fetch_one(db)
    .await
    .map(drop)
}
