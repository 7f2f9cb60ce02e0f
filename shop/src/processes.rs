//! The processes of a home as the kernel knows them. They are found by their program and their
//! folder, whoever started them, so that none is forgotten, and a process that is in the way has a
//! name.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::bail;
use backends::server::send;
use procfs::{
    net::TcpState,
    process::{FDTarget, Process, all_processes},
};
use rustix::process::Signal;

use crate::Home;

/// The shop's own processes, in the order in which they are shown.
pub const OURS: [&str; 8] = [
    "simulator",
    "smtp-sink",
    "order-svc",
    "payment-svc",
    "inventory-svc",
    "notify-svc",
    "outbox-relay",
    "gateway",
];

/// What looks at a stack, where it is installed (`telemetry`).
pub const PROMETHEUS: &str = "prometheus";
pub const JAEGER: &str = "jaeger";

/// The fault proxies, where they are wanted (`faults`).
pub const FAULTS: &str = "faults";

/// Commands of `shop` that are processes of a stack.
const PARTS: [&str; 2] = [" broker ", " faults "];

/// How long a process may take to end when asked: a checkpoint on a slow disk takes seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// How long the kernel may take to remove a killed process.
const GONE_WITHIN: Duration = Duration::from_secs(4);

/// How long whoever inherits a process that has ended may take to ask for its end; some never do.
const REAPED_WITHIN: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_millis(20);

/// How much of a command line is shown.
const COMMAND_CHARS: usize = 80;

/// A process, as a person would look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    pub pid: u32,
    /// The name of its program.
    pub name: String,
    command: String,
}

impl fmt::Display for ProcessInfo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (pid {}", self.name, self.pid)?;
        match self.command.chars().take(COMMAND_CHARS).collect::<String>() {
            shown if shown.is_empty() => write!(out, ")"),
            shown if shown.len() < self.command.len() => write!(out, ": {shown}…)"),
            shown => write!(out, ": {shown})"),
        }
    }
}

impl ProcessInfo {
    /// `None` for a process that has ended, or that this user may not see. The first of several
    /// threads may end before the others, which still hold ports: then the process has not ended.
    fn of(process: &Process) -> Option<Self> {
        let stat = process.stat().ok().filter(|it| it.state != 'Z' || it.num_threads > 1)?;
        let command = process.cmdline().unwrap_or_default().join(" ");
        let command = command.trim_end().to_owned();
        Some(Self { pid: u32::try_from(stat.pid).ok()?, name: stat.comm, command })
    }

    /// The signal that ends it in order: only INT makes a postmaster end without waiting for its
    /// clients.
    fn last_signal(&self) -> Signal {
        let is_postmaster = self.name == "postgres" && !self.command.starts_with("postgres:");
        if is_postmaster { Signal::INT } else { Signal::TERM }
    }
}

/// What runs in a home, except its supervisor. PostgreSQL and Kafka run in their data folders, the
/// shop's processes in the home; a shell in which somebody works there is none of them.
pub fn of_home(home: &Home) -> Vec<ProcessInfo> {
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let data = home.last().ok().flatten().map(|stack| real(stack.data));
    let (home, kafka) = (real(home.path().to_owned()), real(home.path().join("kafka")));
    let is_ours = |found: &ProcessInfo, folder: &Path| match found.name.as_str() {
        "postgres" => data.as_deref() == Some(folder),
        "java" => folder == kafka,
        "shop" => folder == home && PARTS.iter().any(|part| found.command.contains(part)),
        name => folder == home && (OURS.contains(&name) || [PROMETHEUS, JAEGER].contains(&name)),
    };
    let processes = all_processes().into_iter().flatten().flatten();
    processes
        .filter_map(|process| Some((ProcessInfo::of(&process)?, process.cwd().ok()?)))
        .filter(|(found, folder)| is_ours(found, folder))
        .map(|(found, _)| found)
        .collect()
}

/// Lets stopped processes (SIGSTOP, a debugger that is gone) go on, so that they can end.
pub fn wake(home: &Home) {
    for found in of_home(home) {
        send(found.pid, Signal::CONT);
    }
}

/// Ends whatever runs in a home without a supervisor, in bounded time, and returns what that was.
pub async fn end(home: &Home) -> anyhow::Result<Vec<ProcessInfo>> {
    let left = of_home(home);
    for found in &left {
        send(found.pid, Signal::CONT);
        send(found.pid, found.last_signal());
    }
    let stay = those_still_there(&left, ENDS_WITHIN).await;
    for found in &stay {
        send(found.pid, Signal::KILL);
    }
    let stay = those_still_there(&stay, GONE_WITHIN).await;
    if !stay.is_empty() {
        bail!("these do not end, not even killed: {}", names(&stay));
    }
    reaped(&left).await;
    Ok(left)
}

/// Waits for a moment until nothing is left of processes that have ended: while their new parent has
/// not asked for their ends, a server takes their lock files for those of living ones.
async fn reaped(ended: &[ProcessInfo]) {
    let start = Instant::now();
    let is_left = |found: &ProcessInfo| Path::new(&format!("/proc/{}", found.pid)).exists();
    while ended.iter().any(is_left) && start.elapsed() < REAPED_WITHIN {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a process has not ended.
pub fn is_there(pid: u32) -> bool {
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    process.is_some_and(|process| ProcessInfo::of(&process).is_some())
}

/// Waits until all have ended; returns those that have not ended in time.
async fn those_still_there(left: &[ProcessInfo], within: Duration) -> Vec<ProcessInfo> {
    let start = Instant::now();
    loop {
        let stay: Vec<ProcessInfo> =
            left.iter().filter(|found| is_there(found.pid)).cloned().collect();
        if stay.is_empty() || start.elapsed() > within {
            return stay;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Processes in one line.
pub fn names(found: &[ProcessInfo]) -> String {
    found.iter().map(ProcessInfo::to_string).collect::<Vec<_>>().join(", ")
}

/// The process that listens on a port of this machine; `None` if the kernel does not let us see it.
pub fn listener(port: u16) -> Option<ProcessInfo> {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let inode = sockets
        .filter(|entry| entry.state == TcpState::Listen)
        .find(|entry| entry.local_address.port() == port)?
        .inode;
    let holds = |process: &Process| {
        let open = process.fd().into_iter().flatten().flatten();
        open.into_iter().any(|file| matches!(file.target, FDTarget::Socket(it) if it == inode))
    };
    ProcessInfo::of(&all_processes().ok()?.flatten().find(holds)?)
}
