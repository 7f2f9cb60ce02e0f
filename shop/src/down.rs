//! `shop down`: stops all of it.

use std::process::ExitCode;

use crate::Home;

/// What `shop down` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop down` is not here yet (home {})", home.path().display())
}
