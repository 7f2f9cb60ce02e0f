//! What every process of the shop needs, and no business words: one way to be configured, to log,
//! to reach the database, to speak HTTP, to run named tasks and to stop.
//!
//! A process is `fn main() -> ExitCode { chassis::run("order-svc", order_svc::start) }`, where
//! `start` receives its settings and a [`Chassis`], spawns its tasks and ends in [`Chassis::wait`].

pub mod body;
pub mod certificates;
pub mod clock;
pub mod config;
pub mod database;
pub mod health;
pub mod http;
pub mod identity;
pub mod kafka;
pub mod openapi;
pub mod problem;
pub mod spans;
pub mod tasks;
pub mod trace;

mod admin;
mod limits;
mod log;
mod metrics;
mod run;
mod telemetry;

pub use admin::show_metrics;
pub use config::{ProcessConfig, Secret, SecretFault, Settings};
pub use health::Health;
pub use identity::{Caller, Guard, IdentitySettings};
pub use kafka::{KafkaSecurity, KafkaSettings};
pub use metrics::{Probes, describe_metrics, describe_pool_metrics};
pub use problem::{Code, Problem};
pub use run::{Chassis, run};
pub use tasks::{DetachedRunner, Tasks};
pub use trace::TraceParent;

/// Decoding and deciding allocate and free many small values: the system's allocator took a tenth
/// of all time for them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
