//! `shop down`: stops all of a stack, and keeps its data.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backends::server::send;
use rustix::process::Signal;

use crate::Home;
use crate::progress::{Step, say};

/// What `shop down` may be told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Forget the data, too: orders, topics, mails, the simulator's ledger.
    #[arg(long)]
    pub fresh: bool,
}

/// Ours drain for 15 s at most, then the backends have 30 s.
const DOWN_MAX: Duration = Duration::from_mins(1);

const LOOK: Duration = Duration::from_millis(20);

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    if stop(home).await? {
        say(&format!("nothing is left running in {}", home.path().display()));
    } else {
        say(&format!("nothing runs in {}", home.path().display()));
    }
    if args.fresh {
        forget(home)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops the stack; whether there was one.
pub async fn stop(home: &Home) -> anyhow::Result<bool> {
    if !home.is_supervised() {
        return Ok(false);
    }
    let step = Step::begin("down");
    let start = Instant::now();
    let mut asked = 0;
    // The lock goes before the process that held it.
    while home.is_supervised() || is_there(asked) {
        // It may have the lock before its record tells who it is.
        let pid = home.last()?.map_or(0, |stack| stack.supervisor);
        if pid != asked && pid != 0 {
            send(pid, Signal::TERM);
            asked = pid;
        }
        if start.elapsed() > DOWN_MAX {
            bail!("it does not stop: see {}", home.log("supervisor").display());
        }
        tokio::time::sleep(LOOK).await;
    }
    step.done("stopped");
    Ok(true)
}

/// Whether the process lives; one that nobody has waited for has no command line any more.
fn is_there(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Removes what a stack has written, and nothing else that may lie in the home.
fn forget(home: &Home) -> anyhow::Result<()> {
    if let Some(stack) = home.last()? {
        remove(&stack.data)?;
        // The folder that was made for it elsewhere; a home is not empty, and stays.
        if let Some(parent) = stack.data.parent().filter(|parent| *parent != home.path()) {
            fs::remove_dir(parent).ok();
        }
    }
    for name in ["kafka", "log", "run"] {
        remove(&home.path().join(name))?;
    }
    for name in ["stack.json", "seal-key", "simulator-ledger.jsonl", "mail.mbox"] {
        match fs::remove_file(home.path().join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn remove(folder: &std::path::Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
