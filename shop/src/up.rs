//! `shop up`: starts whatever does not run yet.

use std::process::ExitCode;

use crate::Home;

/// What `shop up` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop up` is not here yet (home {})", home.path().display())
}
