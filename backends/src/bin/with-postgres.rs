//! Runs a command with a scratch PostgreSQL, whose address it finds in `PREPARE_URL`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use backends::testing;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    ensure!(!words.is_empty(), "with-postgres COMMAND [WORD…]");
    let server = testing::private_postgres().await;
    let url = server.url("");
    let ended = Command::new(&words[0])
        .args(&words[1..])
        .env("PREPARE_URL", url.trim_end_matches('/'))
        .status()
        .with_context(|| format!("cannot run {}", words[0].display()))?;
    server.stop().await?;
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
