//! `shop supervise` (hidden): brings a stack up, keeps its processes alive, and takes it down.
//!
//! The foreground `shop up` does the same in its own process. PostgreSQL and Kafka start side by
//! side, the shop's processes as soon as both answer. Stopping goes the other way round: the shop's
//! processes finish what they hold while both still answer. The process that holds the home's lock
//! is the supervisor, and writes the record.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use backends::{jars, postgres, topics};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    Home, down,
    home::{Backend, DATABASES, ProcessState, StackPhase},
    keys,
    plan::Plan,
    process::{ProcessSupervisor, Spec},
    processes::{self, OURS},
    progress::ProgressStep,
    schema, status,
    terminal::note,
};

const LOOK: Duration = Duration::from_millis(20);

/// How long Prometheus and Jaeger are waited for.
const TELEMETRY_START_MAX: Duration = Duration::from_secs(10);

/// The arguments of `shop supervise`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's port; the others are counted from it.
    #[arg(long)]
    pub base_port: Option<u16>,
    /// Which broker carries the events.
    #[arg(long, value_enum)]
    pub backend: Backend,
}

/// Supervises until it is asked to stop, even when the terminal is closed.
pub async fn run(args: Args, home: &Home) -> anyhow::Result<ExitCode> {
    supervise(home, (args.base_port, args.backend), Terminal::Gone).await
}

/// Whether the end of the terminal stops the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    Here,
    Gone,
}

/// Brings the stack up and keeps it until a signal: everything that the foreground `shop up` does.
pub async fn supervise(
    home: &Home,
    (base_port, backend): (Option<u16>, Backend),
    terminal: Terminal,
) -> anyhow::Result<ExitCode> {
    let held = home.hold()?;
    let _held = held.with_context(|| format!("{} is taken", home.path().display()))?;
    let asked = stopped_by_signal(terminal)?;
    home.is_free_for(backend)?;
    let base_port = base_port.or(home.last()?.map(|last| last.base_port));
    if backend == Backend::Embedded {
        // What the databases know of topics that are gone would stop whoever reads new ones.
        processes::end(home).await?;
        down::forget(home)?;
        home.create()?;
    }
    let plan = Plan::of(home, base_port, backend)?;
    let keeper = ProcessSupervisor::new(home.clone(), plan.stack.clone(), asked.second.clone())?;
    let (ours, backends) = (CancellationToken::new(), CancellationToken::new());
    let stack = SupervisedStack { plan, keeper: Arc::clone(&keeper), ours, backends };

    let up = tokio::select! {
        up = stack.bring_up() => up,
        () = asked.first.cancelled() => Ok(()),
    };
    let ended = match up {
        Ok(()) => {
            if !asked.first.is_cancelled() {
                keeper.record(|stack| stack.phase = StackPhase::Ready);
                if terminal == Terminal::Here {
                    status::show(&keeper.stack())?;
                    note("Ctrl-C stops it all.");
                }
            }
            asked.first.cancelled().await;
            StackPhase::Stopped
        }
        Err(_) => StackPhase::Failed,
    };
    keeper.record(|stack| stack.phase = StackPhase::Stopping);
    let step = ProgressStep::begin("down");
    stack.take_down().await;
    let left = processes::end(home).await?;
    if left.is_empty() {
        step.done("nothing is left running");
    } else {
        step.done(&format!("ended what was left: {}", processes::names(&left)));
    }
    keeper.record(|stack| stack.phase = ended);
    up.map(|()| ExitCode::SUCCESS)
}

/// A stack while it is supervised.
struct SupervisedStack {
    plan: Plan,
    keeper: Arc<ProcessSupervisor>,
    /// Ends the shop's own processes.
    ours: CancellationToken,
    /// Ends what they need, and what looks at them.
    backends: CancellationToken,
}

impl SupervisedStack {
    async fn bring_up(&self) -> anyhow::Result<()> {
        let all = ProgressStep::begin("all");
        let plan = &self.plan;
        plan.check_programs()?;
        // Processes of a supervisor that was killed: they hold this stack's ports and shared
        // memory.
        let left = processes::end(&plan.home).await?;
        if !left.is_empty() {
            note(format!("  ended what an earlier run had left: {}", processes::names(&left)));
        }
        plan.check_ports()?;
        keys::make(&plan.home)?;
        for process in &plan.stack.processes {
            // A log is about one run; lines of an earlier run would confuse.
            std::fs::remove_file(plan.home.log(&process.name)).ok();
        }
        for spec in plan.telemetry.specs(plan.home.path(), plan.ports) {
            self.keeper.keep(spec, self.backends.clone());
        }
        if plan.has_faults() {
            self.start_backend(plan.run_faults()).await?;
        }
        let others = ["simulator", "smtp-sink"].map(|name| self.start_ours(name));
        let others = futures::future::try_join_all(others);
        tokio::try_join!(others, self.start_postgres(), self.start_kafka())?;
        let rest = OURS.into_iter().filter(|name| !["simulator", "smtp-sink"].contains(name));
        futures::future::try_join_all(rest.map(|name| self.start_ours(name))).await?;
        self.telemetry_is_up().await;
        all.done("is up");
        Ok(())
    }

    async fn start_postgres(&self) -> anyhow::Result<()> {
        let step = ProgressStep::begin("postgres");
        let config = self.plan.postgres();
        self.start_backend(self.plan.run_postgres()).await?;
        postgres::create_owned(&config.url("postgres"), &config.owned(&DATABASES))
            .await
            .context("cannot make the databases")?;
        let place = self.plan.home.path().display().to_string();
        schema::check(&place, |database| config.url(database)).await?;
        step.done(&format!("127.0.0.1:{}, four databases", config.port));
        Ok(())
    }

    async fn start_kafka(&self) -> anyhow::Result<()> {
        let step = ProgressStep::begin("kafka");
        let address = self.plan.stack.kafka();
        let is_embedded = self.plan.stack.backend == Backend::Embedded;
        if !is_embedded && !jars::are_ready()? {
            step.note("fetching its jars with Maven: once on this machine, 44 MB");
        }
        self.start_backend(self.plan.run_kafka()).await?;
        if is_embedded {
            step.done(&format!("{address}, in memory alone"));
            return Ok(());
        }
        let topics = topics::of_the_shop()?;
        topics::create(&address, &topics).await?;
        step.done(&format!("{address}, {} topics", topics.len()));
        Ok(())
    }

    /// Starts what the shop's processes need, and waits until it is healthy. The first time its
    /// command is made outside of the keeper, so that a missing program is reported at once, and
    /// once.
    async fn start_backend(&self, spec: Spec) -> anyhow::Result<()> {
        let name = spec.name;
        let spec = tokio::task::spawn_blocking(move || (spec.command)().map(|_| spec)).await??;
        self.keeper.keep(spec, self.backends.clone());
        self.keeper.healthy(name).await
    }

    async fn start_ours(&self, name: &'static str) -> anyhow::Result<()> {
        self.keeper.keep(self.plan.run_ours(name), self.ours.clone());
        let step = ProgressStep::begin(name);
        self.keeper.healthy(name).await?;
        step.done(&self.address(name));
        Ok(())
    }

    /// Says where Prometheus and Jaeger are. The shop is up without them.
    async fn telemetry_is_up(&self) {
        for name in self.plan.telemetry.names() {
            let step = ProgressStep::begin(name);
            match tokio::time::timeout(TELEMETRY_START_MAX, self.keeper.healthy(name)).await {
                Ok(Ok(())) => step.done(&self.address(name)),
                Ok(Err(error)) => step.done(&format!("does not start: {error:#}")),
                Err(_) => step.done(&format!("is not ready after {TELEMETRY_START_MAX:?}")),
            }
        }
        for lack in self.plan.telemetry.lacks() {
            note(format!("  {lack}"));
        }
    }

    fn address(&self, name: &str) -> String {
        format!("127.0.0.1:{}", self.plan.ports.of(name).unwrap_or_default())
    }

    async fn take_down(&self) {
        processes::wake(&self.plan.home);
        self.ours.cancel();
        let is_ours = |process: &&ProcessState| OURS.contains(&process.name.as_str());
        let runs = |process: &ProcessState| process.pid.is_some();
        while self.keeper.stack().processes.iter().filter(is_ours).any(runs) {
            tokio::time::sleep(LOOK).await;
        }
        self.backends.cancel();
        self.keeper.all_ended().await;
    }
}

/// Cancelled by the first and by the second signal that asks the supervisor to stop.
struct StopSignals {
    first: CancellationToken,
    second: CancellationToken,
}

fn stopped_by_signal(terminal: Terminal) -> anyhow::Result<StopSignals> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let asked = StopSignals { first: CancellationToken::new(), second: CancellationToken::new() };
    let (first, second) = (asked.first.clone(), asked.second.clone());
    tokio_util::task::TaskTracker::new().spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => if terminal == Terminal::Gone { continue },
            }
            if first.is_cancelled() {
                second.cancel();
            }
            first.cancel();
        }
    });
    Ok(asked)
}
