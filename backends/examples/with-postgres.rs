//! Runs a command beside a PostgreSQL of its own, whose address it finds in `PREPARE_URL`.

use std::process::{Command, ExitCode};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    anyhow::ensure!(!words.is_empty(), "which command?");
    let server = backends::testing::private_postgres().await;
    let url = server.url("");
    let status = tokio::task::spawn_blocking(move || {
        Command::new(&words[0]).args(&words[1..]).env("PREPARE_URL", url).status()
    })
    .await??;
    server.stop().await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
