//! Keeps processes alive: starts each, restarts it when it ends, and stops it when asked.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use backends::{
    Watchdog,
    server::{excerpt, open_log, send},
};
use rustix::process::Signal;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Home, Stack, health,
    home::{ProcessState, StackPhase},
    terminal::note,
};

/// The shortest back-off before a process is restarted: most ends are accidents.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest back-off: a process that cannot live must not keep the machine busy.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A process that has run this long is healthy again, and its next back-off is the shortest.
const PAUSE_FORGOTTEN: Duration = Duration::from_secs(20);

/// A process that has ended this often before it was ever healthy is given up.
const ENDS_WHILE_STARTING: u32 = 3;

/// How long a start may take: the longest one seen was a PostgreSQL with 2 GB to recover, in 20 s.
const START_MAX: Duration = Duration::from_secs(90);

const LOOK: Duration = Duration::from_millis(25);

/// How to run a process.
pub struct Spec {
    pub name: &'static str,
    /// Makes the command; called before each start.
    pub command: Box<dyn Fn() -> anyhow::Result<Command> + Send + Sync>,
    /// The signal that asks the process to stop, and how long it may then take.
    pub stop: (Signal, Duration),
}

/// The processes of one stack, and their record in its home.
pub struct ProcessSupervisor {
    home: Home,
    stack: Mutex<Stack>,
    last_ends: Mutex<HashMap<&'static str, String>>,
    watchdog: Watchdog,
    tasks: TaskTracker,
    /// Cancelled when no process is to be waited for any longer.
    hurry: CancellationToken,
}

impl ProcessSupervisor {
    /// A keeper of the processes in `stack`, none of which runs yet. Once `hurry` is cancelled, it
    /// kills processes that are slow to stop.
    pub fn new(home: Home, stack: Stack, hurry: CancellationToken) -> anyhow::Result<Arc<Self>> {
        home.write(&stack)?;
        Ok(Arc::new(Self {
            home,
            stack: Mutex::new(stack),
            last_ends: Mutex::default(),
            watchdog: Watchdog::start(None)?,
            tasks: TaskTracker::new(),
            hurry,
        }))
    }

    /// Runs a process again and again until `stop`.
    pub fn keep(self: &Arc<Self>, spec: Spec, stop: CancellationToken) {
        let keeper = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut pause = PAUSE_MIN;
            loop {
                let start = Instant::now();
                let ended = keeper.run(&spec, &stop).await;
                keeper.record(|stack| running(stack, spec.name).pid = None);
                if stop.is_cancelled() {
                    return;
                }
                let why = ended.unwrap_or_else(|error| format!("{error:#}"));
                if start.elapsed() > PAUSE_FORGOTTEN {
                    pause = PAUSE_MIN;
                }
                if keeper.stack().phase == StackPhase::Ready {
                    let name = spec.name;
                    note(format!("  {name} ended ({why}); starting it again in {pause:?}"));
                }
                lock(&keeper.last_ends).insert(spec.name, why);
                keeper.record(|stack| running(stack, spec.name).restarts += 1);
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    /// Runs the process once; returns when it has ended, by itself or because of `stop`.
    async fn run(&self, spec: &Spec, stop: &CancellationToken) -> anyhow::Result<String> {
        let mut command = tokio::task::block_in_place(|| (spec.command)())?;
        let log = open_log(&self.home.log(spec.name))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child.id().context("it has ended")?;
        self.watchdog.watch(pid, spec.stop.0);
        self.record(|stack| running(stack, spec.name).pid = Some(pid));
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = stop.cancelled() => {
                send(pid, spec.stop.0);
                tokio::select! {
                    ended = child.wait() => ended,
                    _ = tokio::time::timeout(spec.stop.1, self.hurry.cancelled()) => {
                        child.start_kill()?;
                        child.wait().await
                    }
                }
            }
        };
        self.watchdog.forget(pid);
        Ok(ended?.to_string())
    }

    /// Waits until the process is healthy; the error shows the end of its log.
    pub async fn healthy(&self, name: &'static str) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let stack = self.stack();
            let Err(error) = health::check(name, &stack).await else { return Ok(()) };
            let ends = stack.process(name).map_or(0, |process| process.restarts);
            let log = || excerpt(&self.home.log(name));
            if ends >= ENDS_WHILE_STARTING {
                let why = lock(&self.last_ends).get(name).cloned().unwrap_or_default();
                bail!("{name} ended {ends} times, at last with: {why}\n{}", log());
            }
            if start.elapsed() > START_MAX {
                bail!("{name} is not healthy after {START_MAX:?} ({error:#})\n{}", log());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until every kept process has ended.
    pub async fn all_ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The stack as it is now.
    pub fn stack(&self) -> Stack {
        lock(&self.stack).clone()
    }

    /// Changes the record, in memory and in the home.
    pub fn record(&self, change: impl FnOnce(&mut Stack)) {
        let mut stack = lock(&self.stack);
        change(&mut stack);
        if let Err(error) = self.home.write(&stack) {
            note(format!("  {error:#}"));
        }
    }
}

fn running<'a>(stack: &'a mut Stack, name: &str) -> &'a mut ProcessState {
    let found = stack.processes.iter_mut().find(|process| process.name == name);
    found.expect("the plan's record has every process that the plan runs")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
