//! `shop status`: says what runs, where, and how it is.

use std::process::ExitCode;

use crate::Home;

/// What `shop status` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop status` is not here yet (home {})", home.path().display())
}
