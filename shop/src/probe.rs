//! `shop probe` (hidden): whether a URL answers well. The health checks of containers, in which
//! there is nothing else.

use std::process::ExitCode;

use crate::health;

/// The arguments of `shop probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    pub url: String,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    health::answers(&args.url).await?;
    Ok(ExitCode::SUCCESS)
}
