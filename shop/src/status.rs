//! `shop status`: says what runs, where, and how it is.

use std::{io::Write as _, path::Path, process::ExitCode};

use serde::Serialize;

use crate::{Home, Stack, health, home::Backend};

/// The arguments of `shop status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A stack and the health of its processes.
#[derive(Debug, Serialize)]
pub struct StackStatus<'a> {
    pub backend: Backend,
    pub gateway: String,
    pub kafka: String,
    /// Where PostgreSQL's data lies.
    pub data: &'a Path,
    pub processes: Vec<Process<'a>>,
}

/// A process and its health.
#[derive(Debug, Serialize)]
pub struct Process<'a> {
    pub name: &'a str,
    pub pid: Option<u32>,
    pub port: u16,
    pub healthy: bool,
    pub restarts: u32,
}

/// Runs the command; it fails unless every process is healthy.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let stack = home.stack()?;
    let status = of(&stack).await;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &status)?;
        writeln!(out)?;
    } else {
        table(&mut out, &status)?;
    }
    let healthy = status.processes.iter().all(|process| process.healthy);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks every process for its health, all at once.
pub async fn of(stack: &Stack) -> StackStatus<'_> {
    let asked = stack.processes.iter().map(async |process| Process {
        name: &process.name,
        pid: process.pid,
        port: process.port,
        healthy: process.pid.is_some() && health::check(&process.name, stack).await.is_ok(),
        restarts: process.restarts,
    });
    StackStatus {
        backend: stack.backend,
        gateway: stack.gateway(),
        kafka: stack.kafka(),
        data: &stack.data,
        processes: futures::future::join_all(asked).await,
    }
}

fn table(out: &mut impl std::io::Write, status: &StackStatus<'_>) -> std::io::Result<()> {
    writeln!(out, "gateway  {}", status.gateway)?;
    writeln!(out, "kafka    {}", status.kafka)?;
    writeln!(out, "data     {}\n", status.data.display())?;
    writeln!(out, "{:<14} {:>8} {:>6}  {:<8} restarts", "process", "pid", "port", "health")?;
    for process in &status.processes {
        let pid = process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let health = if process.healthy { "healthy" } else { "SICK" };
        let Process { name, port, restarts, .. } = process;
        writeln!(out, "{name:<14} {pid:>8} {port:>6}  {health:<8} {restarts}")?;
    }
    Ok(())
}

/// Writes the addresses of a stack to standard output.
pub fn show(stack: &Stack) -> anyhow::Result<()> {
    let ports = stack.ports()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "gateway   {}", stack.gateway())?;
    writeln!(out, "kafka     {}", stack.kafka())?;
    writeln!(out, "postgres  127.0.0.1:{} (orders, payments, stock, notify)", ports.postgres())?;
    writeln!(out, "messages  http://127.0.0.1:{}/messages (mail, SMS, push)", ports.messages())?;
    writeln!(out, "data      {}", stack.data.display())?;
    Ok(())
}
