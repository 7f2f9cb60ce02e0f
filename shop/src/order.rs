//! `shop order`: tells one order's whole story.

use std::process::ExitCode;

use crate::Home;

/// What `shop order` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The order.
    pub id: uuid::Uuid,
}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop order` is not here yet (home {})", home.path().display())
}
