//! `shop up`: starts whatever does not run yet, and returns when all of it is healthy.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use backends::{jars, machine, server::send};
use rustix::process::Signal;

use crate::{
    Home,
    compose::{self, ComposeStart},
    home::{Backend, StackPhase},
    status,
    supervise::{self, Terminal},
    terminal::note,
};

/// The arguments of `shop up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Come back when all is healthy, and leave a supervisor behind.
    #[arg(long)]
    pub detach: bool,
    /// What it runs on [default: as before, or kafka where Java is, else embedded].
    #[arg(long, value_enum, env = "SHOP_BACKEND")]
    pub backend: Option<Backend>,
    /// The gateway's port; the others are counted from it [default: as before, or 8000].
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// With containers, not detached: forget the data when it ends.
    #[arg(long, conflicts_with = "detach")]
    pub ephemeral: bool,
}

/// How long a stack that another `shop up` started, or is starting, may take to be healthy.
const HEALTHY_MAX: Duration = Duration::from_mins(2);

const LOOK: Duration = Duration::from_millis(50);

/// Runs the command.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    home.create()?;
    let backend = backend(&args, home)?;
    if backend == Backend::Compose {
        let Args { detach, base_port, ephemeral, .. } = args;
        return compose::up(ComposeStart { base_port, detach, ephemeral }, home).await;
    }
    ensure!(!args.ephemeral, "--ephemeral is for --backend compose");
    home.is_free_for(backend)?;
    if home.is_supervised()
        && let Some(end) = already(&args, home).await?
    {
        return Ok(end);
    }
    let broker = match backend {
        Backend::Embedded => "librdkafka's broker in memory, which forgets everything when it ends",
        Backend::Kafka | Backend::Compose => "Apache Kafka",
    };
    note(format!("starting the shop in {}, on {broker}", home.path().display()));
    if backend == Backend::Embedded {
        note(
            "  so each start is the first; Java 17 and Maven bring Apache Kafka (--backend kafka)",
        );
    }
    if !args.detach {
        return supervise::supervise(home, (args.base_port, backend), Terminal::Here).await;
    }
    let log = home.log("supervisor");
    let out = fs::File::create(&log).with_context(|| format!("no log {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--home").arg(home.path()).arg("supervise").process_group(0);
    command.args(["--backend", &backend.to_string()]);
    if let Some(port) = args.base_port {
        command.args(["--base-port", &port.to_string()]);
    }
    let supervisor = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?;
    follow(home, supervisor, fs::File::open(&log)?).await
}

/// What the stack runs on: what is asked for, else what it ran on before, else Apache Kafka if this
/// machine has what it needs.
fn backend(args: &Args, home: &Home) -> anyhow::Result<Backend> {
    let last = home.last()?.map(|last| last.backend);
    let has_java =
        || jars::are_ready().is_ok_and(|ready| ready || machine::program("mvn").is_some());
    let best = || if has_java() { Backend::Kafka } else { Backend::Embedded };
    Ok(args.backend.or(last).unwrap_or_else(best))
}

/// Shows what the supervisor writes until the stack is up, or the supervisor has ended.
async fn follow(home: &Home, mut supervisor: Child, mut log: fs::File) -> anyhow::Result<ExitCode> {
    let pid = supervisor.id();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut is_interrupted = false;
    loop {
        let ended = supervisor.try_wait()?;
        let at = log.stream_position()?;
        let mut said = String::new();
        // The log may end in half a line or half a character: the rest comes with the next look.
        if log.read_to_string(&mut said).is_err() {
            log.seek(SeekFrom::Start(at))?;
        }
        std::io::stderr().write_all(said.as_bytes()).ok();
        if let Some(ended) = ended {
            // The supervisor ended in order because it was asked to, but then nothing is up.
            let is_fine = ended.success() && !is_interrupted;
            return Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let stack = home.last()?.filter(|stack| stack.supervisor == pid);
        if let Some(stack) = stack.filter(|stack| stack.phase == StackPhase::Ready) {
            status::show(&stack)?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // Only once: the supervisor then stops what it has started, and ends.
            _ = &mut interrupted, if !is_interrupted => {
                is_interrupted = true;
                send(pid, Signal::TERM);
            }
        }
    }
}

/// Leaves a stack that is up as it is, and waits for one that is starting. `None` if the stack is
/// gone by then: a killed supervisor has its lock for a moment longer.
async fn already(args: &Args, home: &Home) -> anyhow::Result<Option<ExitCode>> {
    let start = Instant::now();
    loop {
        let stack = match home.stack() {
            Ok(stack) => stack,
            Err(_) if !home.is_supervised() => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(port) = args.base_port {
            let runs = stack.base_port;
            ensure!(port == runs, "it runs already, from base port {runs}: `shop down` first");
        }
        let status = status::of(&stack).await;
        let sick = status.processes.iter().filter(|it| !it.healthy).map(|it| it.name);
        let sick: Vec<_> = sick.collect();
        if stack.phase == StackPhase::Ready && sick.is_empty() {
            note(format!("runs already in {}", home.path().display()));
            status::show(&stack)?;
            return Ok(Some(ExitCode::SUCCESS));
        }
        if start.elapsed() > HEALTHY_MAX {
            bail!("it runs, but these are not healthy: {}", sick.join(", "));
        }
        tokio::time::sleep(LOOK * 4).await;
    }
}
