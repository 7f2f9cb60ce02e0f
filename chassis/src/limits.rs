//! Limits that several files know.

/// The largest body taken, in bytes.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;
