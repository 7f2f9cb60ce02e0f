//! Why a stretch of publishing, or a lane's session, ended.

use crate::leader::NoLeader;

/// What ends a stretch of publishing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopReason {
    /// The lane was asked to stop.
    #[error("asked to stop")]
    Stop,
    /// An operator has paused the lane.
    #[error("an operator has paused it")]
    Paused,
    /// Kafka refused a message, or acknowledges none: the lane tries again later, from the last
    /// tick.
    #[error("Kafka does not take it: {0}")]
    Kafka(String),
    /// The session is lost, and the cursor in memory with it.
    #[error("the session is lost")]
    Session(#[source] sqlx::Error),
    /// A row's type was not in `event_types` when that was read.
    #[error("a row is of the unknown type {0}")]
    UnknownType(i16),
    /// The database cannot be served before a person has helped.
    #[error("the database cannot be served: {0}")]
    Refused(String),
}

impl From<sqlx::Error> for StopReason {
    fn from(error: sqlx::Error) -> Self {
        Self::Session(error)
    }
}

impl From<NoLeader> for StopReason {
    fn from(error: NoLeader) -> Self {
        match error {
            NoLeader::Refused(why) => Self::Refused(why),
            NoLeader::Session(error) => Self::Session(error),
        }
    }
}
