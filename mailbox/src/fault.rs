//! What follows from a failed attempt at a batch, as two pure tables: a failure has a verdict, and
//! a verdict has a next step. `fault/verdicts.golden` and `fault/steps.golden` show them whole.

use std::{any::Any, borrow::Cow};

use sqlx::error::DatabaseError;

use crate::message::{PANICKED, Park, REFUSED_BY_DATABASE};

/// Equal failures of several items before one of them is suspected, where the machine might be to
/// blame as well.
const EQUAL_FAILURES: u32 = 5;
/// Equal failures of one item alone before it is given up.
const FAILURES_ALONE: u32 = 3;

/// Why an attempt at a batch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Before the transaction: connecting, logging in, BEGIN. Whatever the code, no item is at
    /// fault, because none has been touched.
    #[error("the database begins no transaction")]
    NotBegun(#[source] sqlx::Error),
    #[error("the database failed a statement")]
    Database(#[from] sqlx::Error),
    /// Another instance used an idempotency key of the batch after this attempt looked it up.
    #[error("an idempotency key was used meanwhile")]
    KeyTaken,
    /// The whole attempt took longer than it may, though no single statement did.
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
    /// Only a person can repair it: the schema is of another build, or the login is refused.
    WaitForOperator,
    /// Another transaction was first: the next attempt loads what it did.
    Collision,
    /// A lock was not granted in time: another session holds the row.
    RowHeld,
    /// A row has no partition to go to.
    MissingPartition,
    /// The attempt or a statement took too long.
    TooSlow,
    /// One item is to blame; `at_once` where it cannot be the machine.
    Suspect { at_once: bool },
}

/// Whether an attempt expects its ids to be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Expects every id to be new: one cheap insert, which fails if an id is known.
    Optimistic,
    /// Expects that ids may be known: the insert says which are new.
    Deduplicating,
}

/// What an attempt does about rows that another session holds locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockPolicy {
    /// It waits for them, at most the lock timeout.
    Wait,
    /// It leaves them out: `Reactor::held` names the items that need one.
    SkipHeld,
}

/// How the relay is told of what an attempt commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeUp {
    /// By a NOTIFY in the attempt's own transaction.
    InCommit,
    /// By `Wake::poke`, after the commit.
    AfterCommit,
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) admission: Admission,
    pub(crate) locking: LockPolicy,
    pub(crate) wake_up: WakeUp,
}

/// What to do after a failed attempt. Whatever is tried again is tried with the deduplicating
/// insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The same batch again, after a pause.
    Retry,
    /// The same batch again, at once.
    RetryNow,
    /// The same batch again at once, without the items that need a held row.
    SkipHeld,
    /// Make the missing partitions, then the same batch again.
    MakePartitions,
    /// Each half of the batch by itself.
    Halve,
    /// The one item waits by itself, others go on.
    HoldBack,
    /// The one item parks, or its client is told that it failed.
    GiveUp,
}

/// The step after a failure of a batch with `open` items left; the failure is the `failures`th
/// equal one in a row.
pub(crate) fn next_step(verdict: Verdict, pass: Pass, open: usize, failures: u32) -> Step {
    let alone = open <= 1;
    let first = pass.admission == Admission::Optimistic;
    match verdict {
        Verdict::Wait | Verdict::WaitForOperator => Step::Retry,
        Verdict::MissingPartition => Step::MakePartitions,
        // Redelivery is ordinary: the deduplicating insert follows at once.
        Verdict::Collision if first => Step::RetryNow,
        Verdict::RowHeld if pass.locking == LockPolicy::Wait => Step::SkipHeld,
        // The item waits for a row that no load names, or takes too long by itself.
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

/// Judges a failure by what can be known of it: its SQLSTATE, or where it arose.
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

/// A failure before the transaction: it is waited out, and logged as an error where waiting does
/// not help.
fn not_begun(code: &str) -> Verdict {
    match code.get(..2).unwrap_or_default() {
        // No code at all: the database does not answer.
        "" | "08" | "53" | "57" | "58" => Verdict::Wait,
        _ => Verdict::WaitForOperator,
    }
}

/// A failure of a statement that the server reported.
fn statement(code: &str, names_constraint: bool) -> Verdict {
    match code {
        "23505" => Verdict::Collision,
        // A row without a partition has the code of a failed check, but names no constraint.
        "23514" if !names_constraint => Verdict::MissingPartition,
        "55P03" => Verdict::RowHeld,
        // 25P04 is a limit on whole transactions, of PostgreSQL 17 and later.
        "57014" | "25P04" => Verdict::TooSlow,
        // 0A000 is a plan that outlived a column, 26000 a statement that a proxy lost, XX000 a
        // proxy's own error: a new session cures what can be cured.
        "0A000" | "26000" | "XX000" | "3D000" => Verdict::WaitForOperator,
        code => match code.get(..2).unwrap_or_default() {
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => Verdict::Wait,
            "28" | "42" => Verdict::WaitForOperator,
            "22" | "23" => Verdict::Suspect { at_once: true },
            _ => Verdict::Suspect { at_once: false },
        },
    }
}

/// A failure of a statement that our own client found.
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

/// The reason to park a message at which a batch keeps failing.
pub(crate) fn park(fault: &Fault) -> Park {
    match fault {
        Fault::Panicked(what) => panicked(what),
        Fault::Database(error) | Fault::NotBegun(error) => {
            Park { class: REFUSED_BY_DATABASE, reason: format!("the database refuses it: {error}") }
        }
        Fault::KeyTaken | Fault::TooSlow => {
            Park { class: REFUSED_BY_DATABASE, reason: fault.to_string() }
        }
    }
}

/// The reason to park a message over which the service's own code panicked.
pub(crate) fn panicked(what: &str) -> Park {
    Park { class: PANICKED, reason: format!("processing it panicked: {what}") }
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// What makes two failures equal: SQLSTATE and constraint, or the kind of error.
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
    /// All verdicts.
    pub(crate) const ALL: [Self; 8] = [
        Self::Wait,
        Self::WaitForOperator,
        Self::Collision,
        Self::RowHeld,
        Self::MissingPartition,
        Self::TooSlow,
        Self::Suspect { at_once: true },
        Self::Suspect { at_once: false },
    ];

    /// The verdict's name in metrics.
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

/// Whether a smaller chunk of messages may get further.
pub(crate) fn is_about_one(fault: &Fault) -> bool {
    match judge(fault) {
        Verdict::Wait | Verdict::WaitForOperator | Verdict::RowHeld => false,
        Verdict::Collision
        | Verdict::MissingPartition
        | Verdict::TooSlow
        | Verdict::Suspect { .. } => true,
    }
}

/// Whether trying the same again would fail the same way.
pub(crate) fn is_refusal(fault: &Fault) -> bool {
    matches!(judge(fault), Verdict::Suspect { .. })
}

#[cfg(test)]
mod tests;
