//! `shop down`: stops a stack and keeps its data.

use std::{
    fs, io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use backends::server::send;
use rustix::process::Signal;

use crate::{Home, compose, processes, progress::ProgressStep, terminal::note};

/// The arguments of `shop down`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete the data, too: orders, topics, messages, the simulator's ledger.
    #[arg(long)]
    pub fresh: bool,
}

/// How long the supervisor may take: the shop's processes drain within 15 s, and PostgreSQL and
/// Kafka end within as many. After that the supervisor is killed, and what it leaves is ended from
/// here.
const SUPERVISOR_MAX: Duration = Duration::from_secs(32);

const LOOK: Duration = Duration::from_millis(20);

/// The files of a stack, but for the key that signs tokens.
const WRITTEN: [&str; 9] = [
    "stack.json",
    "seal-key",
    "webhook-secret",
    "simulator-ledger.jsonl",
    "messages.jsonl",
    "seed.json",
    "passwords.json",
    compose::OVERRIDE,
    compose::SETTINGS,
];

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    let home_path = home.path().display();
    if let Some(project) = home.last()?.and_then(|last| last.project) {
        if home.is_supervised() {
            stop_supervisor(home).await?;
        }
        compose::take_down(&project, home, args.fresh)?;
        note(format!("nothing is left running in {home_path}"));
    } else if stop(home).await? {
        note(format!("nothing is left running in {home_path}"));
    } else {
        note(format!("nothing runs in {home_path}"));
    }
    if args.fresh {
        forget(home)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops the stack, and whatever of it runs without a supervisor. Returns whether anything ran.
pub async fn stop(home: &Home) -> anyhow::Result<bool> {
    let was_supervised = home.is_supervised();
    if was_supervised {
        stop_supervisor(home).await?;
    }
    let left = processes::end(home).await?;
    if !left.is_empty() {
        note(format!("  ended what was left: {}", processes::names(&left)));
    }
    Ok(was_supervised || !left.is_empty())
}

async fn stop_supervisor(home: &Home) -> anyhow::Result<()> {
    let step = ProgressStep::begin("down");
    let start = Instant::now();
    let mut asked = 0;
    // The lock goes before the process that held it, so both are waited for.
    while home.is_supervised() || processes::is_there(asked) {
        // A supervisor may have the lock before its record says which process it is.
        let pid = home.last()?.map_or(0, |stack| stack.supervisor);
        if pid != asked && pid != 0 {
            // A supervisor that somebody has stopped (SIGSTOP) gets the signal only once it goes
            // on.
            send(pid, Signal::CONT);
            send(pid, Signal::TERM);
            asked = pid;
        }
        if start.elapsed() > SUPERVISOR_MAX {
            send(asked, Signal::KILL);
        }
        if start.elapsed() > SUPERVISOR_MAX * 2 {
            bail!("its supervisor (pid {asked}) does not end, not even killed");
        }
        tokio::time::sleep(LOOK).await;
    }
    step.done("stopped");
    Ok(())
}

/// Removes what a stack has written, and nothing else in the home.
pub fn forget(home: &Home) -> anyhow::Result<()> {
    if let Some(stack) = home.last()?.filter(|stack| stack.project.is_none()) {
        unless_absent(fs::remove_dir_all(&stack.data), &stack.data)?;
        // The folder that was made for the data elsewhere. A home is not empty, so it stays.
        if let Some(parent) = stack.data.parent().filter(|parent| *parent != home.path()) {
            fs::remove_dir(parent).ok();
        }
    }
    for name in ["kafka", "log", "run"] {
        let folder = home.path().join(name);
        unless_absent(fs::remove_dir_all(&folder), &folder)?;
    }
    for name in WRITTEN {
        unless_absent(fs::remove_file(home.path().join(name)), Path::new(name))?;
    }
    Ok(())
}

/// An error, unless it says that there was nothing to remove.
fn unless_absent(removed: io::Result<()>, what: &Path) -> anyhow::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", what.display()))
        }
        _ => Ok(()),
    }
}
