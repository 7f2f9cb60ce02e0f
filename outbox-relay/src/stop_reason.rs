//! Why a stretch of publishing ended.

use crate::leader::NoLeader;

/// What ends a stretch of publishing.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// Asked to.
    Stop,
    /// An operator has paused the lane.
    Paused,
    /// Kafka refused a message, or acknowledges none: again from the last tick, later.
    Kafka(String),
    /// The session is lost, and the cursor with it.
    Session(sqlx::Error),
    /// A row's type is not in `event_types`, as they were read.
    UnknownType(i16),
    /// Only a person can help.
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
