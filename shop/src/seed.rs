//! `shop seed`: fills the catalogue, the shelves and the customers' accounts.

use std::process::ExitCode;

use crate::Home;

/// What `shop seed` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many products.
    #[arg(long, default_value_t = 1000)]
    pub products: u32,
    /// How many customers.
    #[arg(long, default_value_t = 100)]
    pub customers: u32,
}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop seed` is not here yet (home {})", home.path().display())
}
