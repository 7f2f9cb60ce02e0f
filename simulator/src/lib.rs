//! A payment service provider to try things on: it takes test tokens, and no money moves.
//!
//! ```text
//! Owns   its own ledger of what it captured and gave back: the judge of payment facts.
//! Hears  HTTP: charges, refunds.
//! Says   nothing by itself.
//! Keeps  What it answered, it has on disk; the same key is charged or refunded once.
//! ```

use anyhow::Context;
use chassis::Chassis;
use tokio::time::Instant;

mod book;
mod config;
mod http;
mod knobs;
mod ledger;
mod tokens;

pub use book::{Account, Book, Charge, Entry, RecordResult, Refund, Refusal};
pub use config::Config;
pub use http::{AppState, routes};
pub use knobs::Knobs;
pub use ledger::{Ledger, Unwritable, Writer};
pub use tokens::Decline;

/// Opens the ledger, serves requests, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let (ledger, writer) = Ledger::open(&config.ledger)
        .with_context(|| format!("could not open the ledger {}", config.ledger.display()))?;
    // Requests under way wait for their lines to be written, so the writer stops after them.
    chassis.tasks.spawn_last("ledger", |stop| writer.run(stop));
    let provider = AppState {
        ledger,
        detached: chassis.tasks.detached(),
        slow: config.slow,
        knobs: config.knobs,
        began: Instant::now(),
    };
    chassis.serve(routes(provider)).await?;
    chassis.wait().await
}
