//! On whose behalf a key is released or discarded, and where the end of that is written: under the
//! idempotency key of one request, or in the key's row of a bulk operation.

use sqlx::PgConnection;

use crate::{
    IdempotencyKey, OperatorError,
    bulk_keys::{self, BulkEntry, KeyOutcome},
    idempotent,
    message::Park,
    parked,
    reactor::Answer,
};

/// An operator's request. With a key it takes effect once, however often it is sent: its answer is
/// stored under the key.
#[derive(Clone)]
pub struct IdempotentRequest {
    /// Who asks: it is recorded among the operations.
    pub caller: String,
    pub key: Option<IdempotencyKey>,
    /// Makes the answer to store: from the number of messages that were changed, or from the reason
    /// why a release stopped.
    pub tell: fn(Result<u64, &Park>) -> Answer,
}

/// One key of a bulk operation.
#[derive(Clone, Copy)]
pub(crate) struct BulkStep<'a> {
    pub(crate) entry: &'a BulkEntry,
    pub(crate) caller: &'a str,
    pub(crate) reason: &'a str,
    /// The key's outcome if all goes well.
    pub(crate) done: KeyOutcome,
}

/// On whose behalf something is done to a key.
#[derive(Clone, Copy)]
pub(crate) enum Asker<'a> {
    Single(&'a IdempotentRequest),
    Bulk(BulkStep<'a>),
}

impl<'a> Asker<'a> {
    pub(crate) fn caller(self) -> &'a str {
        match self {
            Self::Single(asked) => &asked.caller,
            Self::Bulk(step) => step.caller,
        }
    }

    /// The reason to record for a release, of which a single request gives none.
    pub(crate) fn reason(self) -> Option<&'a str> {
        match self {
            Self::Single(_) => None,
            Self::Bulk(step) => Some(step.reason),
        }
    }

    pub(crate) fn is_single(self) -> bool {
        matches!(self, Self::Single(_))
    }

    /// Whether a discard is meant for the message that is a key's first now.
    pub(crate) fn means(self, first_id: i64) -> bool {
        match self {
            Self::Single(_) => true,
            Self::Bulk(step) => step.entry.first_id == first_id,
        }
    }

    /// Fails with [`OperatorError::Answered`] if a single request was answered before.
    pub(crate) async fn check(self, db: &mut PgConnection) -> Result<(), OperatorError> {
        match self {
            Self::Single(asked) => idempotent::first(db, asked.key.as_ref()).await,
            Self::Bulk(_) => Ok(()),
        }
    }

    /// Writes down that `messages` more were processed or dropped and, at the end, how many in all
    /// or why no more; as the last statement before the commit.
    pub(crate) async fn record(
        self,
        db: &mut PgConnection,
        messages: u64,
        end: Option<Result<u64, &Park>>,
    ) -> Result<(), OperatorError> {
        match (self, end) {
            (Self::Single(asked), Some(end)) if asked.key.is_some() => {
                idempotent::keep(db, asked.key.as_ref(), &(asked.tell)(end)).await
            }
            (Self::Single(_), _) => Ok(()),
            (Self::Bulk(step), end) => {
                let reason = end.and_then(Result::err).map(|park| parked::told(&park.to_string()));
                let end = end.map(|end| match end {
                    Ok(_) => (step.done, None),
                    Err(_) => (KeyOutcome::Stopped, reason.as_deref()),
                });
                Ok(bulk_keys::note(db, step.entry, messages, end).await?)
            }
        }
    }

    /// Writes down that a key of a bulk operation was left as it is.
    pub(crate) async fn pass_over(
        self,
        db: &mut PgConnection,
        outcome: KeyOutcome,
    ) -> sqlx::Result<()> {
        match self {
            Self::Single(_) => Ok(()),
            Self::Bulk(step) => bulk_keys::note(db, step.entry, 0, Some((outcome, None))).await,
        }
    }
}
