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
    process::ProcessSupervisor,
    processes::{self, FAULTS, OURS},
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

    let up = tokio::select! {
        up = bring_up(&plan, &keeper, &ours, &backends) => up,
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
    take_down(home, &keeper, &ours, &backends).await;
    let left = processes::end(home).await?;
    if left.is_empty() {
        step.done("nothing is left running");
    } else {
        step.done(&format!("ended what was left: {}", processes::names(&left)));
    }
    keeper.record(|stack| stack.phase = ended);
    up.map(|()| ExitCode::SUCCESS)
}

async fn bring_up(
    plan: &Plan,
    keeper: &Arc<ProcessSupervisor>,
    ours: &CancellationToken,
    backends: &CancellationToken,
) -> anyhow::Result<()> {
    let all = ProgressStep::begin("all");
    plan.check_programs()?;
    // Processes of a supervisor that was killed: they hold this stack's ports and shared memory.
    let left = processes::end(&plan.home).await?;
    if !left.is_empty() {
        note(format!("  ended what an earlier run had left: {}", processes::names(&left)));
    }
    plan.check_ports()?;
    keys::make(&plan.home)?;
    let telemetry = plan.telemetry.specs(plan.home.path(), plan.ports);
    let names = ["postgres", "kafka"].into_iter().chain(OURS);
    for name in names.chain(telemetry.iter().map(|spec| spec.name)) {
        // A log is about one run; lines of an earlier run would confuse.
        std::fs::remove_file(plan.home.log(name)).ok();
    }
    for spec in telemetry {
        keeper.keep(spec, backends.clone());
    }
    if plan.has_faults() {
        keeper.keep(plan.run_faults(), backends.clone());
        keeper.healthy(FAULTS).await?;
    }
    let others = ["simulator", "smtp-sink"].map(|name| {
        keeper.keep(plan.run_ours(name), ours.clone());
        healthy(keeper, plan, name)
    });
    let others = futures::future::try_join_all(others);
    let (postgres, kafka) =
        (start_postgres(plan, keeper, backends), start_kafka(plan, keeper, backends));
    tokio::try_join!(others, postgres, kafka)?;
    let rest = OURS.into_iter().filter(|name| !["simulator", "smtp-sink"].contains(name));
    futures::future::try_join_all(rest.map(|name| async move {
        keeper.keep(plan.run_ours(name), ours.clone());
        healthy(keeper, plan, name).await
    }))
    .await?;
    telemetry_is_up(plan, keeper).await;
    all.done("is up");
    Ok(())
}

async fn start_postgres(
    plan: &Plan,
    keeper: &Arc<ProcessSupervisor>,
    until: &CancellationToken,
) -> anyhow::Result<()> {
    let step = ProgressStep::begin("postgres");
    let config = plan.postgres();
    // The first time outside of the keeper, so that a missing program is reported at once, and
    // once.
    let first = config.clone();
    tokio::task::spawn_blocking(move || first.prepare()).await??;
    keeper.keep(plan.run_postgres(), until.clone());
    keeper.healthy("postgres").await?;
    postgres::create_owned(&config.url("postgres"), &config.owned(&DATABASES))
        .await
        .context("cannot make the databases")?;
    let place = plan.home.path().display().to_string();
    schema::check(&place, |database| config.url(database)).await?;
    step.done(&format!("127.0.0.1:{}, four databases", config.port));
    Ok(())
}

async fn start_kafka(
    plan: &Plan,
    keeper: &Arc<ProcessSupervisor>,
    until: &CancellationToken,
) -> anyhow::Result<()> {
    let step = ProgressStep::begin("kafka");
    if plan.stack.backend == Backend::Embedded {
        keeper.keep(plan.run_kafka(), until.clone());
        keeper.healthy("kafka").await?;
        step.done(&format!("{}, in memory alone", plan.stack.kafka()));
        return Ok(());
    }
    if !jars::are_ready()? {
        step.note("fetching its jars with Maven: once on this machine, 44 MB");
    }
    let config = plan.kafka();
    let first = config.clone();
    tokio::task::spawn_blocking(move || first.prepare()).await??;
    keeper.keep(plan.run_kafka(), until.clone());
    keeper.healthy("kafka").await?;
    let topics = topics::of_the_shop()?;
    topics::create(&config.bootstrap(), &topics).await?;
    step.done(&format!("127.0.0.1:{}, {} topics", config.port, topics.len()));
    Ok(())
}

async fn healthy(
    keeper: &ProcessSupervisor,
    plan: &Plan,
    name: &'static str,
) -> anyhow::Result<()> {
    let step = ProgressStep::begin(name);
    keeper.healthy(name).await?;
    step.done(&format!("127.0.0.1:{}", plan.ports.of(name).unwrap_or_default()));
    Ok(())
}

/// Says where Prometheus and Jaeger are. The shop is up without them.
async fn telemetry_is_up(plan: &Plan, keeper: &ProcessSupervisor) {
    for name in plan.telemetry.names() {
        let step = ProgressStep::begin(name);
        match tokio::time::timeout(TELEMETRY_START_MAX, keeper.healthy(name)).await {
            Ok(Ok(())) => {
                step.done(&format!("127.0.0.1:{}", plan.ports.of(name).unwrap_or_default()));
            }
            Ok(Err(error)) => step.done(&format!("does not start: {error:#}")),
            Err(_) => step.done(&format!("is not ready after {TELEMETRY_START_MAX:?}")),
        }
    }
    for lack in plan.telemetry.lacks() {
        note(format!("  {lack}"));
    }
}

async fn take_down(
    home: &Home,
    keeper: &ProcessSupervisor,
    ours: &CancellationToken,
    backends: &CancellationToken,
) {
    processes::wake(home);
    ours.cancel();
    let is_ours = |process: &&ProcessState| OURS.contains(&process.name.as_str());
    while keeper.stack().processes.iter().filter(is_ours).any(|process| process.pid.is_some()) {
        tokio::time::sleep(LOOK).await;
    }
    backends.cancel();
    keeper.all_ended().await;
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
