//! The life of a process, from its settings to its exit code.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin,
    config::{self, ProcessConfig, Settings},
    health::Health,
    http::{Edge, Handler, HttpServer, ServerLimits},
    metrics::{Probes, describe_metrics},
    tasks::Tasks,
    telemetry,
};

/// How long the runtime's blocking threads may take to end; those that still run are then left
/// behind.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// What a process gets besides its settings.
pub struct Chassis {
    pub tasks: Tasks,
    pub health: Health,
    pub settings: Settings,
    pub probes: Probes,
    shutdown: Shutdown,
}

/// How the process ends.
#[derive(Clone)]
struct Shutdown {
    /// Cancelled at the first signal.
    draining: CancellationToken,
    /// Cancelled when the process stops.
    stop: CancellationToken,
    /// Whether there are clients that have to be told.
    serves: Arc<AtomicBool>,
    lame_duck: Duration,
}

impl Chassis {
    /// Serves `handler` (such as an [`axum::Router`]) on the public listener, as the task `http`.
    /// The port is bound at once, so that one already in use ends the start.
    pub async fn serve<S: Handler>(&mut self, handler: S) -> anyhow::Result<SocketAddr> {
        let edge = Edge::new(self.health.clone());
        let limits = ServerLimits::default().behind_a_gateway();
        self.serve_with(edge, HttpServer { limits, ..HttpServer::default() }, handler).await
    }

    /// Like [`Chassis::serve`], with an edge that the caller has made, and with the limits and the
    /// TLS of `server`.
    pub async fn serve_with<S: Handler>(
        &mut self,
        edge: Edge,
        server: HttpServer,
        handler: S,
    ) -> anyhow::Result<SocketAddr> {
        let listener = bind(self.settings.address()).await?;
        let address = listener.local_addr().context("could not read the listener's address")?;
        if let Some(tls) = &server.tls {
            let (fresh, seen) = (tls.clone(), tls.clone());
            self.tasks.spawn("certificate", |stop| fresh.keep_fresh(stop));
            self.health.notice_known("certificate", move || seen.fault());
        }
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let service = self.health.service();
        tracing::info!(service, url = %format_args!("{scheme}://{address}"), "listens");
        let edge = edge.limited(server.limits.clone());
        let draining = self.shutdown.draining.clone();
        let server = |stop| HttpServer { draining, stop, ..server };
        self.tasks.spawn("http", |stop| server(stop).serve(listener, edge, handler));
        self.shutdown.serves.store(true, Ordering::Release);
        Ok(address)
    }

    /// Waits for the end of the process, once everything is started; see [`Tasks::wait`].
    pub async fn wait(self) -> anyhow::Result<()> {
        self.tasks.wait().await
    }
}

/// Reads the settings and runs `start` until the process is asked to stop or a task ends.
///
/// The first SIGTERM or SIGINT drains, a second one aborts, and so does the drain's deadline.
pub fn run<C, F>(name: &'static str, start: impl FnOnce(C, Chassis) -> F) -> ExitCode
where
    C: ProcessConfig,
    F: Future<Output = anyhow::Result<()>>,
{
    let config: C = match config::load(name) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let settings = config.settings().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .enable_all()
        .build()
        .expect("a runtime needs threads and nothing else");
    let ended = runtime.block_on(async {
        let telemetry = telemetry::start(name, &settings).context("could not start telemetry")?;
        raise_open_files();
        let ended = supervise(name, settings, |chassis| start(config, chassis)).await;
        if let Err(error) = &ended {
            tracing::error!(error = &**error as &dyn std::error::Error, "the process ends");
        }
        telemetry.flush().await;
        ended
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn supervise<F>(
    name: &'static str,
    settings: Settings,
    start: impl FnOnce(Chassis) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let tasks = Tasks::new(settings.drain);
    let (stop, waiting) = (tasks.stop_token(), tasks.waiting());
    let shutdown = Shutdown {
        // A process that ends for another reason than a signal is not ready either.
        draining: stop.child_token(),
        stop,
        serves: Arc::default(),
        lame_duck: settings.lame_duck,
    };
    let health = Health::new(name, tasks.waiting(), shutdown.draining.clone());
    let listener = bind(settings.admin_address()).await?;
    let metrics = telemetry::install_metrics()?;
    describe_metrics();
    let probes = Probes::default();
    let admin = admin::serve(listener, health.clone(), metrics, probes.clone());
    tokio::select! {
        ended = start(Chassis { tasks, health, settings, probes, shutdown: shutdown.clone() }) => ended,
        asked = asked_twice(&shutdown, &waiting) => asked,
        // The private listener shows how the drain goes, so it stays until the end.
        ended = admin => ended.context("the private listener failed"),
    }
}

/// Ends the process at the first signal: after SIGTERM clients are first told to go elsewhere, and
/// served meanwhile; after SIGINT somebody waits for the end. Returns at the second signal, or at
/// once if the process has not finished starting.
async fn asked_twice(shutdown: &Shutdown, waiting: &AtomicBool) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let mut asked = async || {
        tokio::select! {
            asked = terminate.recv() => asked.map(|()| shutdown.lame_duck),
            asked = interrupt.recv() => asked.map(|()| Duration::ZERO),
        }
        .context("signals ended")
    };
    let lame_duck = asked().await?;
    tracing::info!("asked to stop: finishing what is in hand");
    shutdown.draining.cancel();
    let is_started = waiting.load(Ordering::Acquire);
    if is_started && shutdown.serves.load(Ordering::Acquire) {
        tokio::select! {
            () = tokio::time::sleep(lame_duck) => {}
            again = asked() => {
                again?;
                anyhow::bail!("asked to stop a second time: aborting what is in hand");
            }
        }
    }
    shutdown.stop.cancel();
    if is_started {
        asked().await?;
        anyhow::bail!("asked to stop a second time: aborting what is in hand");
    }
    Ok(())
}

/// Lets the process open as many files as the system allows it: connections are files, and the
/// usual limit is one of 1990.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the limit of open files stays as it is"
        );
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))
}
