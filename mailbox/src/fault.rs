//! What follows from a failed attempt at a batch, as two tables: a failure has a verdict, and a
//! verdict has a next step. Both are pure; `fault/verdicts.golden` and `fault/steps.golden` show
//! them whole.

use std::{any::Any, borrow::Cow};

use sqlx::error::DatabaseError;

use crate::message::Park;

/// Equal failures of several entries before one of them is suspected where it might also be the
/// machine.
const EQUAL_FAILURES: u32 = 5;
/// Equal failures of one entry alone before it is given up.
const FAILURES_ALONE: u32 = 3;

/// Why an attempt at a batch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Before the transaction: connecting, logging in, BEGIN. Never an entry's fault, whatever the
    /// code: no entry has been touched.
    #[error("the database begins no transaction")]
    NotBegun(#[source] sqlx::Error),
    #[error("the database failed a statement")]
    Database(#[from] sqlx::Error),
    /// Another instance used an idempotency key of the batch since it was looked up.
    #[error("an idempotency key was used meanwhile")]
    KeyTaken,
    /// The whole attempt took longer than it may, though no statement of it did.
    #[error("the attempt took too long")]
    TooSlow,
    #[error("the reactor panicked: {0}")]
    Panicked(String),
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The database is away or busy.
    Wait,
    /// Only a person can mend it: a schema of another build, a login that is refused.
    WaitForOperator,
    /// Another transaction was first: the next load sees what it did.
    Collision,
    /// A row was not to be had: another session holds it.
    RowHeld,
    /// A partition is missing.
    MissingPartition,
    /// It took too long.
    TooSlow,
    /// One entry is to blame; `at_once` where it cannot be the machine.
    Suspect { at_once: bool },
}

/// How much an attempt takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Every id is new. Cheap; meeting a known one is an error.
    Optimistic,
    /// Ids may be known: each is asked for.
    Deduplicating,
}

/// How an attempt meets rows that another session holds locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPolicy {
    /// It waits for them, as long as a lock may take.
    Wait,
    /// It leaves them alone: `Reactor::held` names who needs one.
    SkipHeld,
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) admission: Admission,
    pub(crate) locking: LockPolicy,
}

/// What to do after a failed attempt. Whatever is tried again is tried with care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The same again, after a pause.
    Retry,
    /// The same again, at once.
    RetryNow,
    /// The same again at once, without whoever needs a row that is held.
    SkipHeld,
    /// The partitions that are missing, then the same again.
    MakePartitions,
    /// Each half by itself.
    Halve,
    /// The one entry waits by itself, others go on.
    HoldBack,
    /// The one entry parks, or its client is told that it failed.
    GiveUp,
}

/// What happens after a failure of `open` entries, the `failures`th equal one in a row.
pub(crate) fn next_step(verdict: Verdict, pass: Pass, open: usize, failures: u32) -> Step {
    let alone = open <= 1;
    let first = pass.admission == Admission::Optimistic;
    match verdict {
        Verdict::Wait | Verdict::WaitForOperator => Step::Retry,
        Verdict::MissingPartition => Step::MakePartitions,
        // Redelivery is ordinary: the careful pass follows at once.
        Verdict::Collision if first => Step::RetryNow,
        Verdict::RowHeld if pass.locking == LockPolicy::Wait => Step::SkipHeld,
        // It waits for a row that no load names, or for its own time.
        Verdict::RowHeld | Verdict::TooSlow if alone => Step::HoldBack,
        Verdict::Suspect { .. } if first => Step::Retry,
        Verdict::Collision | Verdict::Suspect { .. } if alone => {
            if failures >= FAILURES_ALONE {
                Step::GiveUp
            } else {
                Step::Retry
            }
        }
        Verdict::RowHeld | Verdict::TooSlow | Verdict::Suspect { at_once: true } => Step::Halve,
        Verdict::Collision | Verdict::Suspect { at_once: false } => {
            if failures >= EQUAL_FAILURES {
                Step::Halve
            } else {
                Step::Retry
            }
        }
    }
}

/// Judges a failure by what can be known of it: the SQLSTATE, or where it came from.
pub(crate) fn judge(fault: &Fault) -> Verdict {
    match fault {
        Fault::NotBegun(error) => not_begun(&code(error)),
        Fault::Database(error) => match error.as_database_error() {
            Some(database) => statement(&code(error), database.constraint().is_some()),
            None => client(error),
        },
        Fault::KeyTaken => Verdict::Collision,
        Fault::TooSlow => Verdict::TooSlow,
        Fault::Panicked(_) => Verdict::Suspect { at_once: true },
    }
}

/// A failure before the transaction: waited for, and told as an error where waiting is no cure.
fn not_begun(code: &str) -> Verdict {
    match code.get(..2).unwrap_or_default() {
        // No code at all: nobody answers.
        "" | "08" | "53" | "57" | "58" => Verdict::Wait,
        _ => Verdict::WaitForOperator,
    }
}

/// A statement's failure that the server told.
fn statement(code: &str, names_constraint: bool) -> Verdict {
    match code {
        "23505" => Verdict::Collision,
        // A row without a partition has the code of a check that failed, but names no constraint.
        "23514" if !names_constraint => Verdict::MissingPartition,
        "55P03" => Verdict::RowHeld,
        // 25P04 is a limit on whole transactions, of PostgreSQL 17 and later.
        "57014" | "25P04" => Verdict::TooSlow,
        // 0A000 is a plan that outlived a column, 26000 a statement that a proxy lost, XX000 a
        // proxy's own error: a fresh session cures what can be cured.
        "0A000" | "26000" | "XX000" | "3D000" => Verdict::WaitForOperator,
        code => match code.get(..2).unwrap_or_default() {
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => Verdict::Wait,
            "28" | "42" => Verdict::WaitForOperator,
            "22" | "23" => Verdict::Suspect { at_once: true },
            _ => Verdict::Suspect { at_once: false },
        },
    }
}

/// A statement's failure that our own side found.
fn client(error: &sqlx::Error) -> Verdict {
    match error {
        // Rows that are not what the schema promises, or not as many as were sent.
        sqlx::Error::RowNotFound
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Encode(_) => Verdict::Suspect { at_once: false },
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::TypeNotFound { .. } => {
            Verdict::WaitForOperator
        }
        _ => Verdict::Wait,
    }
}

fn code(error: &sqlx::Error) -> Cow<'_, str> {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default()
}

/// Why a message is set aside that cannot be processed.
pub(crate) fn park(fault: &Fault) -> Park {
    match fault {
        Fault::Panicked(what) => panicked(what),
        Fault::Database(error) | Fault::NotBegun(error) => Park {
            class: "refused_by_database",
            reason: format!("the database refuses it: {error}"),
        },
        Fault::KeyTaken | Fault::TooSlow => {
            Park { class: "refused_by_database", reason: fault.to_string() }
        }
    }
}

/// Why a message is set aside over which a service's own code panicked.
pub(crate) fn panicked(what: &str) -> Park {
    Park { class: "panicked", reason: format!("processing it panicked: {what}") }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// What makes two failures the same: SQLSTATE and constraint, or the kind of error.
pub(crate) fn signature(fault: &Fault) -> String {
    match fault {
        Fault::NotBegun(error) | Fault::Database(error) => match error.as_database_error() {
            Some(database) => {
                format!("{} {}", code(error), database.constraint().unwrap_or_default())
            }
            None => format!("{:?}", std::mem::discriminant(error)),
        },
        Fault::KeyTaken | Fault::TooSlow | Fault::Panicked(_) => fault.to_string(),
    }
}

impl Verdict {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::WaitForOperator => "wait_for_operator",
            Self::Collision => "collision",
            Self::RowHeld => "row_held",
            Self::MissingPartition => "missing_partition",
            Self::TooSlow => "too_slow",
            Self::Suspect { at_once: true } => "suspect_at_once",
            Self::Suspect { at_once: false } => "suspect",
        }
    }
}

/// Whether fewer messages in a piece would help.
pub(crate) fn is_about_one(fault: &Fault) -> bool {
    match judge(fault) {
        Verdict::Wait | Verdict::WaitForOperator | Verdict::RowHeld => false,
        Verdict::Collision
        | Verdict::MissingPartition
        | Verdict::TooSlow
        | Verdict::Suspect { .. } => true,
    }
}

/// Whether it would be the same again.
pub(crate) fn is_refusal(fault: &Fault) -> bool {
    matches!(judge(fault), Verdict::Suspect { .. })
}

#[cfg(test)]
mod tests;
