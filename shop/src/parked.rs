//! `shop parked`: lists, shows, releases, discards or replaces what was set aside.

use std::process::ExitCode;

use crate::Home;

/// What `shop parked` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
#[expect(clippy::unused_async, reason = "commands are awaited alike")]
pub async fn run(_args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`shop parked` is not here yet (home {})", home.path().display())
}
