//! What a failed batch asks for next: wait, try with care, or look for the one entry that fails.

use std::borrow::Cow;

use crate::message::Park;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The database is away or busy: the same again, later.
    Wait,
    /// Another transaction was first: the same again with care, the next load sees what it did.
    Collision,
    /// A partition is missing: make it, then the same again.
    MissingPartition,
    /// The schema is not the one this build was made for: the same again, much later, loudly.
    Stall,
    /// It took too long: half of it at a time.
    Halve,
    /// One entry is to blame; found by halving, at once or after five equal failures.
    Suspect { at_once: bool },
}

/// Judges an error by what can be known of it: the SQLSTATE, or where it came from.
pub(crate) fn judge(error: &sqlx::Error) -> Verdict {
    let Some(database) = error.as_database_error() else {
        return match error {
            // Rows that are not what the schema promises, or not as many as were sent.
            sqlx::Error::RowNotFound
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Encode(_) => Verdict::Suspect { at_once: false },
            sqlx::Error::ColumnNotFound(_) | sqlx::Error::TypeNotFound { .. } => Verdict::Stall,
            _ => Verdict::Wait,
        };
    };
    let code = database.code().unwrap_or(Cow::Borrowed(""));
    match code.as_ref() {
        "23505" => Verdict::Collision,
        // A row without a partition has the code of a check that failed, but names no constraint.
        "23514" if database.constraint().is_none() => Verdict::MissingPartition,
        "57014" => Verdict::Halve,
        // 25P03 is the server ending a session that idled in a transaction; 3D000 a database not
        // made yet.
        "55P03" | "25006" | "25P03" | "3D000" => Verdict::Wait,
        code => match code.get(..2).unwrap_or_default() {
            "08" | "40" | "53" | "57" | "58" => Verdict::Wait,
            "42" => Verdict::Stall,
            "22" | "23" => Verdict::Suspect { at_once: true },
            _ => Verdict::Suspect { at_once: false },
        },
    }
}

/// Why a message is set aside that the database refuses.
pub(crate) fn park(error: &sqlx::Error) -> Park {
    Park { class: "refused_by_database", reason: format!("the database refuses it: {error}") }
}

/// What makes two failures the same: SQLSTATE and constraint, or the kind of error.
pub(crate) fn signature(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => format!(
            "{} {}",
            database.code().unwrap_or_default(),
            database.constraint().unwrap_or_default()
        ),
        None => format!("{:?}", std::mem::discriminant(error)),
    }
}
