//! A payment service provider to try things on: it takes test tokens, and no money moves.
//!
//! ```text
//! Owns   its own ledger of what it captured and gave back: the judge of payment facts.
//! Hears  HTTP: charges, refunds, also in Stripe's protocol.
//! Says   what became of them, to Stripe's webhook.
//! Keeps  What it answered, it has on disk; the same key is charged or refunded once.
//! ```

use anyhow::Context;
use axum::Router;
use chassis::Chassis;
use tokio::time::Instant;

mod book;
mod config;
mod http;
mod knobs;
mod ledger;
mod stripe;
mod tokens;

pub use book::{Account, Book, Charge, Entry, FormRequest, RecordResult, Refund, Refusal};
pub use config::Config;
pub use http::AppState;
pub use knobs::Knobs;
pub use ledger::{Ledger, Unwritable, Writer};
pub use stripe::{StripeAccount, WebhookSender};
pub use tokens::Decline;

use stripe::StripeDesk;

/// All routes: the provider's own, and those of Stripe's protocol over the same ledger.
pub fn routes(provider: AppState, account: StripeAccount) -> Router {
    http::routes(provider.clone()).merge(stripe::routes(StripeDesk { provider, account }))
}

/// Opens the ledger, serves requests, and waits until the process is to end.
pub async fn start(config: Config, mut chassis: Chassis) -> anyhow::Result<()> {
    let (ledger, writer) = Ledger::open(&config.ledger)
        .with_context(|| format!("could not open the ledger {}", config.ledger.display()))?;
    // Requests under way wait for their lines to be written, so the writer stops after them.
    chassis.tasks.spawn_last("ledger", |stop| writer.run(stop));
    let stripe = config.stripe.account(&mut chassis)?;
    let provider = AppState {
        ledger,
        detached: chassis.tasks.detached(),
        slow: config.slow,
        knobs: config.knobs,
        began: Instant::now(),
    };
    chassis.serve(routes(provider, stripe)).await?;
    chassis.wait().await
}
