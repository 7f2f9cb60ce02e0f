//! A stack for one test: started in a folder of its own, broken on purpose, gone afterwards.
//!
//! The stack is the real `shop up` in a child process, under a watchdog: it ends when the test
//! process ends, however that ends.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use backends::{
    Watchdog, machine,
    server::{excerpt, open_log, send},
};
use rustix::process::Signal;

pub use backends::is_in_containers;

use crate::{Backend, Home, Ports, Stack, health, home::StackPhase};

/// The base ports that are tried, none of which shares a port with another's stack: below the range
/// from which the system takes ports for outgoing connections.
const THOUSANDS: std::ops::Range<u16> = 10..15;
const HUNDREDS: std::ops::Range<u16> = 0..10;

/// How long a start may take: a little longer than `shop up` itself waits for its slowest process.
const UP_MAX: Duration = Duration::from_mins(2);

const DOWN_MAX: Duration = Duration::from_mins(1);

const LOOK: Duration = Duration::from_millis(25);

/// How much of a log is shown of a process that does not come back.
const LINES_SHOWN: usize = 20;

/// A running stack.
#[derive(Debug)]
pub struct TestStack {
    home: Home,
    folder: PathBuf,
    is_in_containers: bool,
    shop: Child,
    watchdog: Option<Watchdog>,
    /// Keeps other tests from these ports.
    _ports: fs::File,
}

impl TestStack {
    /// Starts a stack of the programs in `binaries`, with settings for them (`SHOP_…`), and waits
    /// until it is healthy.
    pub async fn start(binaries: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_on(is_in_containers(), binaries, settings).await
    }

    /// Starts such a stack as processes of this machine, wherever other tests run.
    pub async fn start_processes(
        binaries: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let here = [("SHOP_BACKEND", "kafka")];
        Self::start_on(false, binaries, &[&here, settings].concat()).await
    }

    async fn start_on(
        is_in_containers: bool,
        binaries: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("shop-e2e-{}", machine::random_word()));
        fs::create_dir(&folder)?;
        // A path that no socket of PostgreSQL can have, so that services connect by TCP, as in
        // production.
        let home = Home::at(&folder.join("ein Zuhause für, C:\\tests"))?;
        home.create()?;
        let out = open_log(&home.log("supervisor"))?;
        let watchdog = Watchdog::start(Some(&folder))?;
        let (base, ports) = free_base()?;
        let mut shop = Command::new(binaries.join("shop"));
        shop.arg("--home").arg(home.path()).args(["up", "--base-port", &base.to_string()]);
        if is_in_containers {
            shop.arg("--ephemeral");
        }
        let shop = shop
            // Prometheus and Jaeger cost time, and most tests look at neither.
            .env("SHOP_TELEMETRY", "off")
            .envs(settings.iter().copied())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("no `shop` in {}", binaries.display()))?;
        watchdog.watch(shop.id(), Signal::TERM);
        let watchdog = Some(watchdog);
        let mut stack = Self { home, folder, is_in_containers, shop, watchdog, _ports: ports };
        stack.up().await?;
        Ok(stack)
    }

    async fn up(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.home.last()?.is_some_and(|stack| stack.phase == StackPhase::Ready) {
            if self.shop.try_wait()?.is_some() || start.elapsed() > UP_MAX {
                bail!("the stack does not start:\n{}", excerpt(&self.home.log("supervisor")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The stack's home, for the commands of `shop`.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The stack's record: its addresses, and the processes that run now.
    pub fn stack(&self) -> anyhow::Result<Stack> {
        self.home.stack()
    }

    /// What a process has written to its log.
    pub fn log(&self, process: &str) -> anyhow::Result<String> {
        if let Some(project) = self.stack()?.project {
            return project.log(process);
        }
        let log = fs::read(self.home.log(process))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// The file of what a stand-in for the world took, as it is now: the simulator's ledger, the
    /// sink's messages. A container's is reached through its process.
    pub fn file(&self, process: &str, name: &str) -> anyhow::Result<PathBuf> {
        let stack = self.stack()?;
        if stack.project.is_none() {
            return Ok(self.home.path().join(name));
        }
        let process = stack.process(process).with_context(|| format!("there is no {process}"))?;
        let pid = process.pid.with_context(|| format!("{} does not run", process.name))?;
        Ok(PathBuf::from(format!("/proc/{pid}/root/data/{name}")))
    }

    /// Kills one process with SIGKILL; returns how often it had been started again before.
    pub fn kill9(&self, name: &str) -> anyhow::Result<u32> {
        let stack = self.stack()?;
        let process = stack.process(name).with_context(|| format!("there is no {name}"))?;
        let pid = process.pid.with_context(|| format!("{name} does not run"))?;
        send(pid, Signal::KILL);
        Ok(process.restarts)
    }

    /// Waits until the process was started again, more often than `before`, and is healthy.
    pub async fn back(&self, name: &str, before: u32, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let stack = self.stack()?;
            let again = stack.process(name).is_some_and(|process| process.restarts > before);
            let health = health::check(name, &stack).await;
            match health {
                Ok(()) if again => return Ok(()),
                health if start.elapsed() > within => {
                    let log = self.log(name).unwrap_or_default();
                    let log: Vec<_> = log.lines().rev().take(LINES_SHOWN).collect();
                    bail!("{name} is not back after {within:?}: {health:?}; its log: {log:#?}");
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn still_runs(&mut self) -> bool {
        self.shop.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Stops the stack as Ctrl-C does; nothing of it is left.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        send(self.shop.id(), Signal::INT);
        let start = Instant::now();
        while self.shop.try_wait()?.is_none() {
            if start.elapsed() > DOWN_MAX {
                bail!("the stack does not stop:\n{}", excerpt(&self.home.log("supervisor")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        let elsewhere = self.home.last().ok().flatten();
        if self.is_in_containers {
            // Only an order to stop takes the containers down, too.
            send(self.shop.id(), Signal::INT);
            let start = Instant::now();
            while self.still_runs() && start.elapsed() < DOWN_MAX {
                std::thread::sleep(LOOK);
            }
        }
        if self.still_runs() {
            // The killed supervisor's own watchdog ends the processes that it has started.
            self.shop.kill().ok();
            self.shop.wait().ok();
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.forget(self.shop.id());
        }
        fs::remove_dir_all(&self.folder).ok();
        if let Some(stack) = elsewhere.filter(|stack| stack.backend != Backend::Compose) {
            fs::remove_dir_all(stack.data).ok();
        }
    }
}

/// A base from which every port of a stack is free, with a lock on it for as long as the file is
/// open: a stack takes its ports one after the other, and another test would find some still free.
fn free_base() -> anyhow::Result<(u16, fs::File)> {
    for _ in 0..200 {
        // A private port is a thousand above its public one.
        let base = 2_000 * rand::random_range(THOUSANDS) + 100 * rand::random_range(HUNDREDS);
        let lock = std::env::temp_dir().join(format!("shop-e2e-ports-{base}"));
        let lock = fs::File::create(lock)?;
        if lock.try_lock().is_err() {
            continue;
        }
        let ports = Ports::from(base).context("a base that is too high")?;
        if ports.all().iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        {
            return Ok((base, lock));
        }
    }
    bail!("no free ports")
}
