//! One database session of a loop's own: opened when needed, closed after any doubt.

use std::{io, str::FromStr, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

/// Longer than any batch takes; a batch that runs into it is halved.
const STATEMENT_TIMEOUT: &str = "15s";
/// Longer than a neighbour's batch takes. Who holds a row longer is a person or is frozen: others
/// go on without those who need that row.
pub(crate) const LOCK_TIMEOUT: &str = "1s";
/// A batch that goes on without what is held waits for nothing worth mentioning.
const SHORT_LOCK_TIMEOUT: &str = "100ms";
/// A database that does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A statement about a row or two answers within milliseconds; a host that vanished without a word
/// answers never, and TCP notices that after a quarter of an hour.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a database answers to a small question, or that it does not answer.
pub(crate) async fn within<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within_limit(ANSWER_TIMEOUT, answer).await
}

/// The same for questions that may take so long.
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
    /// A session of `name`, for batches: each statement is planned once, and a plan that scans a
    /// table or hashes is out of the question. So a plan made while a table was small is the plan
    /// for a large one, too; planning anew for each batch costs more than a small batch itself.
    pub(crate) fn new(url: &str, name: &str) -> sqlx::Result<Self> {
        let options = PgConnectOptions::from_str(url)?
            .application_name(name)
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
                // Statements after a lock must see what the lock waited for, whatever the role's
                // own default says.
                ("default_transaction_isolation", "read committed"),
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", LOCK_TIMEOUT),
                ("idle_in_transaction_session_timeout", "5s"),
                // A statement that its process gave up, or died over, holds its rows no longer.
                ("client_connection_check_interval", "1s"),
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "2"),
                ("tcp_user_timeout", "10000"),
            ])
            // Batches repeat a fixed set of statements.
            .statement_cache_capacity(200)
            .disable_statement_logging();
        Ok(Self { options, connection: None })
    }

    /// The open connection, opened now if there is none.
    pub(crate) async fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        if self.connection.is_none() {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
            self.connection = Some(opened);
        }
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Closes the connection: what was under way on it is over, one way or the other.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Politeness only; the server sees the socket close in any case.
            let _ended =
                tokio::time::timeout(Duration::from_millis(200), connection.close_hard()).await;
        }
    }
}

/// In this transaction, whoever meets a lock gives up at once.
pub(crate) async fn hurry(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- session.hurry
        select set_config('lock_timeout', $1, true) as "set!""#,
        SHORT_LOCK_TIMEOUT
    )
    .fetch_one(db)
    .await
    .map(drop)
}
