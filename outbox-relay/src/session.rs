//! A session to a database, where every wait has a limit: a server that vanished without a word ends
//! nothing by itself.

use std::{io, str::FromStr, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use crate::config::Database;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement that touches a handful of rows may take. The timeouts among a session's
/// settings are the server's, and end nothing where there is no server any more.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Opens a session to a database.
pub(crate) async fn connect(
    database: &Database,
    settings: &[(&str, &str)],
) -> sqlx::Result<PgConnection> {
    let options = PgConnectOptions::from_str(database.url())?
        .application_name("outbox-relay")
        .statement_cache_capacity(16)
        .options(settings.iter().copied())
        .disable_statement_logging();
    within(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await
}

/// The result of `work`, or after `limit` an error that costs the session.
pub(crate) async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_elapsed| {
        let silence = "the database did not answer in time";
        let error = io::Error::new(io::ErrorKind::TimedOut, silence);
        Err(sqlx::Error::Io(error).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_silent_is_what_is_told() {
        let silence = std::future::pending::<sqlx::Result<()>>();

        let error = within(ANSWER, silence).await.unwrap_err();

        let told = error.to_string();
        assert!(told.ends_with("the database did not answer in time"), "{told}");
    }
}
