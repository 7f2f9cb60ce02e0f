//! What is not well and keeps nobody from working: seen by the loops, told in the health.

use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// What the loops of one mailbox have to say.
#[derive(Default)]
pub(crate) struct Notices {
    /// Why nothing is heard.
    flood: Mutex<Option<String>>,
    unknown: Mutex<Option<UnknownEvents>>,
}

/// Events that are kept because this build does not know their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEvents {
    pub count: i64,
    /// When the oldest was kept.
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
