//! The outbox relay.
//!
//! ```text
//! Moves  every committed outbox row of every service's database to Kafka, at least once.
//! Keeps  The order of each key; no row is skipped, none waits for another transaction.
//! ```
//!
//! ```text
//! database                        lane (one a database)                          Kafka
//! outbox rows ──► poll, scan ──► envelope (headers) ──► producer ─────────────► topics
//!                 snapshot to       publish: what is read runs ahead              │
//!                 snapshot          of what is acknowledged                       │
//! relay_tick ◄─── leader ◄──────── progress: the marks in flight ◄── acknowledged ┘
//!                 (one session, the lock, the ticks)
//! NOTIFY ───────► wake ──► cadence: when to poll next
//! ```
//!
//! Rows are read as the difference of two snapshots (`poll`, `scan`), never "after the last
//! position": positions and transaction ids are handed out in another order than they become
//! visible. The cursor is a snapshot; it becomes durable as a tick, a checkpoint (`leader`), once
//! Kafka has acknowledged everything that is visible in it (`producer`, `client`, `delivery`). The
//! first message to a partition goes alone (`partitions`). One lane (`lane`, `publish`) serves one
//! database, with a producer of its own; lanes share the room in flight (`traffic`) and nothing
//! else. `retire` drops leaves that nobody can need any more, `topics` and `acknowledged` find out
//! which topics were made anew, `replay` publishes once more what an operator asks for, and `adopt` takes over a
//! database that was upgraded or restored. Every wait for a database has a limit (`session`).

pub mod adopt;
pub mod config;

mod acknowledged;
mod cadence;
mod client;
mod delivery;
mod envelope;
mod lane;
mod leader;
pub mod metrics;
mod partitions;
mod poll;
mod producer;
mod progress;
mod publish;
mod replay;
mod retire;
mod scan;
mod session;
mod spans;
mod status;
mod stop_reason;
mod topics;
mod traffic;
mod wake;

use std::sync::Arc;

use chassis::Chassis;
use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;

pub use config::{Compression, Config, Database, RelayOptions};
pub use leader::{LOCK, SETTINGS};
pub use status::{LanePhase, LaneStatus};

/// The statements of polls and scans between two positions, for tests that look at their plans
/// under [`SETTINGS`].
pub fn statements(low: i64, high: i64) -> Vec<Arc<str>> {
    let bounds = poll::Bounds { low, high };
    let texts = scan::Texts::new(&bounds);
    vec![poll::text(&bounds), texts.ahead, texts.window]
}

/// A loop of the relay; it ends when its token is cancelled, after it has finished what it holds.
pub type LoopFn =
    Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// The loops of a relay, and the status of their lanes.
pub struct Relay {
    /// For each database: the lane that publishes, the listener for wake-ups, the dropping of
    /// leaves, the replays.
    pub loops: Vec<(&'static str, LoopFn)>,
    /// The status of each database's lane, in the order of the options.
    pub databases: Vec<LaneStatus>,
}

impl Relay {
    /// Makes the loops; nothing runs until they are polled.
    pub fn open(options: &RelayOptions) -> Self {
        let options = Arc::new(options.clone());
        let traffic = Arc::new(traffic::Traffic::new(options.databases.len()));
        let mut loops: Vec<(&'static str, LoopFn)> = Vec::new();
        let mut databases = Vec::new();
        let ends = topics::Ends::new(&options);
        for database in &options.databases {
            let status = LaneStatus::new(&database.label);
            let wake_ups = Arc::new(wake::WakeUps::default());
            let topics = Arc::new(topics::Topics::new(&ends, &database.label));
            let lane = lane::Lane {
                database: database.clone(),
                options: Arc::clone(&options),
                traffic: Arc::clone(&traffic),
                status: status.clone(),
                wake_ups: Arc::clone(&wake_ups),
                meters: metrics::Meters::new(&database.label),
                topics: Arc::clone(&topics),
            };
            let replayer = replay::Replayer {
                database: database.clone(),
                options: Arc::clone(&options),
                traffic: Arc::clone(&traffic),
                status: status.clone(),
                topics,
            };
            let retire =
                retire::Retire::new(database.clone(), Arc::clone(&options), status.clone());
            let url = database.url().to_owned();
            loops.push(("relay", Box::new(move |stop| lane.run(stop).boxed())));
            loops.push(("wake", Box::new(move |stop| wake::listen(url, wake_ups, stop).boxed())));
            loops.push(("retire", Box::new(move |stop| retire.run(stop).boxed())));
            loops.push(("replay", Box::new(move |stop| replayer.run(stop).boxed())));
            databases.push(status);
        }
        Self { loops, databases }
    }
}

/// Starts the process, with one lane for each database.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    metrics::describe();
    let Relay { loops, databases } = Relay::open(&config.options);
    let said = |of: fn(&LaneStatus) -> Option<String>| {
        let databases = databases.clone();
        move || {
            let said: Vec<_> = databases.iter().filter_map(of).collect();
            async move { if said.is_empty() { Ok(()) } else { Err(said.join("; ")) } }
        }
    };
    chassis.health.probe("databases", said(LaneStatus::problem));
    chassis.health.notice("lanes", said(LaneStatus::notice));
    for (name, task) in loops {
        chassis.tasks.spawn(name, task);
    }
    chassis.wait().await
}
