//! The rooms of SQL.

/// Where SQL is besides `store.rs` and `store/`: the mailbox's tables, the relay's poll and seats,
/// and three that set a database up or back: roles and databases, a fixture, a connection returned
/// in the middle of something.
pub(crate) const SQL_MAY_BE_IN: &[&str] = &[
    "mailbox/src/outbox.rs",
    "mailbox/src/inbox.rs",
    "mailbox/src/parked.rs",
    "mailbox/src/parked/list.rs",
    "mailbox/src/parked/bounds.rs",
    "mailbox/src/unknown.rs",
    "mailbox/src/consumers.rs",
    "mailbox/src/operations.rs",
    "mailbox/src/idempotency.rs",
    "mailbox/src/leaves.rs",
    "mailbox/src/session.rs",
    "mailbox/src/lanes.rs",
    "mailbox/src/replays.rs",
    "outbox-relay/src/poll.rs",
    "outbox-relay/src/scan.rs",
    "outbox-relay/src/leader.rs",
    "outbox-relay/src/retire.rs",
    "outbox-relay/src/adopt.rs",
    "outbox-relay/src/replay.rs",
    "outbox-relay/src/topics.rs",
    "mailbox/src/testing.rs",
    "backends/src/postgres.rs",
    "chassis/src/database.rs",
];
