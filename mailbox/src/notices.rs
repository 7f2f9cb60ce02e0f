//! Notices for the health check: set by the loops, and no failure of the process.

use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// What the loops of one mailbox report.
#[derive(Default)]
pub(crate) struct Notices {
    /// Why nothing is consumed (`flood`), if so.
    flood: Mutex<Option<String>>,
    unknown: Mutex<Option<UnknownEvents>>,
}

/// How many events are kept because this build does not know their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEvents {
    pub count: i64,
    /// When the oldest of them was kept.
    pub since: OffsetDateTime,
}

impl Notices {
    pub(crate) fn set_flood(&self, why: Option<String>) {
        *self.flood.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(crate) fn flood(&self) -> Option<String> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_unknown(&self, kept: Option<UnknownEvents>) {
        *self.unknown.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    pub(crate) fn unknown(&self) -> Option<UnknownEvents> {
        *self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
