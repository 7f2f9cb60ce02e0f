//! Where a process has its time and its new ids from.

use time::OffsetDateTime;
use uuid::Uuid;

/// The one source of time and of new ids of a process. Decisions get both from it, so that a test
/// may give others.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: fn() -> OffsetDateTime,
    new_id: fn() -> Uuid,
}

impl Clock {
    /// A source; `new_id` gives a `UUIDv7` each time, and later ones sort later.
    pub fn new(now: fn() -> OffsetDateTime, new_id: fn() -> Uuid) -> Self {
        Self { now, new_id }
    }

    /// The time now.
    pub fn now(&self) -> OffsetDateTime {
        (self.now)()
    }

    /// A UUIDv7 that nobody has used before.
    pub fn new_id(&self) -> Uuid {
        (self.new_id)()
    }
}
