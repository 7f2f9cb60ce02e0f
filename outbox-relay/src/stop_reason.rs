//! Why a stretch of publishing, or a lane's session, ended.

use crate::leader::NoLeader;

/// What ends a stretch of publishing.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// The lane was asked to stop.
    Stop,
    /// An operator has paused the lane.
    Paused,
    /// Kafka refused a message, or acknowledges none: the lane tries again later, from the last
    /// tick.
    Kafka(String),
    /// The session is lost, and the cursor in memory with it.
    Session(sqlx::Error),
    /// A row's type was not in `event_types` when that was read.
    UnknownType(i16),
    /// The database cannot be served before a person has helped.
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
