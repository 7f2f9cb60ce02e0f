//! A server process: started with a log, signalled, awaited, and never left behind.

use std::{
    fmt::Debug,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};

use crate::Watchdog;

/// How often a condition of a server is checked again.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// How much of a log's end is shown when a server does not start.
const EXCERPT_BYTES: u64 = 4096;
const EXCERPT_LINES: usize = 15;

/// What is run: a process of this machine's, or that of a container on it.
pub(crate) trait ServerProcess: Debug + Send {
    /// The process id on this machine.
    fn pid(&self) -> u32;

    /// How it ended, in words, if it has.
    fn ended(&mut self) -> anyhow::Result<Option<String>>;

    /// Kills it with SIGKILL, and returns when it is gone.
    fn kill(&mut self) -> anyhow::Result<()>;
}

impl ServerProcess for Child {
    fn pid(&self) -> u32 {
        self.id()
    }

    fn ended(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.try_wait()?.map(|status| status.to_string()))
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        Self::kill(self)?;
        self.wait()?;
        Ok(())
    }
}

/// How a server is started by its configuration.
pub(crate) type Launch<C> =
    for<'a> fn(&'a C, &'a Arc<Watchdog>) -> BoxFuture<'a, anyhow::Result<Server>>;

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    running: Box<dyn ServerProcess>,
    log: PathBuf,
    watchdog: Arc<Watchdog>,
}

impl Server {
    /// Runs the command, with its output appended to `log`. If this process ends, the watchdog ends
    /// the server with the signal `last`.
    pub fn spawn(
        name: &'static str,
        mut command: Command,
        log: &Path,
        under: (&Arc<Watchdog>, Signal),
    ) -> anyhow::Result<Self> {
        let out = open_log(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self::watched(name, Box::new(child), log, under))
    }

    /// A server that runs already, and writes to `log`.
    pub(crate) fn watched(
        name: &'static str,
        running: Box<dyn ServerProcess>,
        log: &Path,
        (watchdog, last): (&Arc<Watchdog>, Signal),
    ) -> Self {
        watchdog.watch(running.pid(), last);
        Self { name, running, log: log.to_owned(), watchdog: Arc::clone(watchdog) }
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// How the server ended, in words, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let ended = self.running.ended()?;
        if ended.is_some() {
            self.watchdog.forget(self.pid());
        }
        Ok(ended)
    }

    /// An error with the end of the log if the server has ended.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(how) => bail!("{} ended ({how}):\n{}", self.name, excerpt(&self.log)),
        }
    }

    /// Asks the server to stop with `signal`, waits for its end, and kills it if `patience` runs
    /// out.
    pub async fn stop(&mut self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        send(self.pid(), signal);
        while self.ended()?.is_none() {
            if start.elapsed() > patience {
                return self.kill9();
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Kills the server with SIGKILL, and returns when the process is gone.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        if self.ended()?.is_none() {
            self.running.kill()?;
            self.watchdog.forget(self.pid());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9().ok();
    }
}

/// The place of a server that may be stopped and started again.
#[derive(Debug, Default)]
pub(crate) struct ServerSlot(Mutex<Option<Server>>);

impl ServerSlot {
    /// The server's process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Server::pid)
    }

    /// Puts a server that was just started in its place.
    pub(crate) fn put(&self, server: Server) {
        *self.lock() = Some(server);
    }

    /// Kills the server with SIGKILL, if it runs.
    pub(crate) fn kill9(&self) -> anyhow::Result<()> {
        let taken = self.lock().take();
        taken.map_or(Ok(()), |mut server| server.kill9())
    }

    /// Stops the server if it runs, as [`Server::stop`] does.
    pub(crate) async fn stop(&self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        let taken = self.lock().take();
        match taken {
            Some(mut server) => server.stop(signal, patience).await,
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a process that may just have ended.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, signal).ok();
    }
}

/// Opens a log for appending, with its folder.
pub fn open_log(log: &Path) -> anyhow::Result<fs::File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open the log {}", log.display()))
}

/// The last lines of a log, indented, with its name.
pub fn excerpt(log: &Path) -> String {
    let read = || {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(EXCERPT_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(EXCERPT_LINES)..).unwrap_or_default();
    let mut out = format!("  {}:", log.display());
    for line in last {
        out.push_str("\n  | ");
        out.push_str(line);
    }
    out
}
