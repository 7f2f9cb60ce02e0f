//! PostgreSQL and Kafka as local processes: what `shop up` and the tests start.
//!
//! Both are the real servers. A server's files, port and settings come from its `Config`. `prepare`
//! makes the files and returns the command to run, so that a supervisor may run it as it likes;
//! `start` runs it under a [`Watchdog`], which ends it when this process ends, however it ends.
//! Nothing here ever turns `fsync` or `synchronous_commit` off: a test without them proves nothing
//! about a server that has them on.

pub mod jars;
pub mod kafka;
pub mod machine;
pub mod postgres;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topics;
pub mod watchdog;

pub use kafka::Kafka;
pub use postgres::Postgres;
pub use watchdog::Watchdog;

/// Whether tests run in containers, servers that stand alone and whole stacks alike: `SHOP_BACKEND`
/// says what `shop up` starts, too.
pub fn is_in_containers() -> bool {
    std::env::var_os("SHOP_BACKEND").is_some_and(|backend| backend == "compose")
}
