//! A local Kafka broker: one node, broker and controller at once, on the loopback interface.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{FutureExt as _, future::BoxFuture};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use rustix::process::Signal;

use crate::{
    Watchdog,
    jars::{self, Jars},
    machine,
    server::{LOOK, Launch, Server, ServerSlot, send},
    topics,
};

/// The longest start: after kill -9 the broker waits for its own old session, on a busy machine.
const START_MAX: Duration = Duration::from_mins(1);

/// The longest stop: a controlled shutdown takes one to two seconds.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Where a broker's files and ports are, and how its Java machine runs.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// The broker's data folder; made when it does not exist.
    pub data: PathBuf,
    pub log: PathBuf,
    pub port: u16,
    pub controller_port: u16,
    /// Listeners behind proxies, by their ports: clients who come by one are told that the broker is
    /// where its proxy listens.
    pub proxied: Vec<ProxiedListener>,
    /// Listeners that ask for more than a plain connection.
    pub secure: Vec<SecureListener>,
    /// Options for the Java machine.
    pub java: Vec<String>,
}

/// A listener behind a proxy.
#[derive(Clone, Copy, Debug)]
pub struct ProxiedListener {
    pub port: u16,
    /// Where the proxy listens.
    pub proxy: u16,
}

/// A listener that speaks TLS, or wants to know a user.
#[derive(Clone, Debug)]
pub struct SecureListener {
    pub name: &'static str,
    /// One of Kafka's: `SSL`, `SASL_SSL`, `SASL_PLAINTEXT`.
    pub protocol: &'static str,
    pub port: u16,
    /// What else is set for it alone, such as `ssl.keystore.key`.
    pub settings: Vec<(String, String)>,
}

impl SecureListener {
    fn address(&self) -> String {
        format!(",{}://127.0.0.1:{}", self.name, self.port)
    }

    /// Its lines among the properties, where a line's end is written as `\n`.
    fn lines(&self) -> impl Iterator<Item = String> {
        let prefix = format!("listener.name.{}", self.name.to_lowercase());
        self.settings.iter().map(move |(name, value)| {
            format!("{prefix}.{name}={}\n", value.replace('\\', "\\\\").replace('\n', "\\n"))
        })
    }
}

/// The broker's settings and its logs, in its data folder.
pub(crate) const PROPERTIES: &str = "server.properties";
const LOGS: &str = "logs";

/// The settings of every broker here: the end of a session is noticed quickly, and no topic is made
/// by accident.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.partitions=12
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.retention.check.interval.ms=30000
log.cleaner.dedupe.buffer.size=16777216
";

/// What the listeners of every broker here speak.
const PROTOCOLS: &str = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT";

/// Options of a Java machine that starts quickly, for tests.
pub fn java_for_tests() -> Vec<String> {
    ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned).into()
}

/// Options of a Java machine for measurements: the whole compiler, and a heap of fixed size.
pub fn java_for_load(heap: &str) -> Vec<String> {
    vec![format!("-Xms{heap}"), format!("-Xmx{heap}")]
}

impl KafkaConfig {
    /// The address that clients connect to first.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Fetches the jars, formats the data folder if it is new, and returns the command to run.
    pub fn prepare(&self) -> anyhow::Result<Command> {
        let jars = jars::fetch(archive)?;
        self.format(&jars)?;
        Ok(self.run(&jars, &self.java))
    }

    /// Kafka separates paths by commas, unescapes backslashes, and reads a path's bytes in the
    /// machine's locale. So it gets no path at all, and runs in its own folder.
    fn run(&self, jars: &Jars, options: &[String]) -> Command {
        let mut command = jars.command(options, "kafka.Kafka");
        command.arg(PROPERTIES).current_dir(&self.data).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Formats the data folder, as `kafka.tools.StorageTool` does in 0.7 s of a Java machine.
    fn format(&self, jars: &Jars) -> anyhow::Result<()> {
        let cannot = || format!("cannot write to {}", self.data.display());
        let logs = self.data.join(LOGS);
        let meta = logs.join("meta.properties");
        if !meta.exists() {
            fs::create_dir_all(&logs).with_context(cannot)?;
            fs::copy(jars.bootstrap(), logs.join("bootstrap.checkpoint")).with_context(cannot)?;
            let (cluster, directory) = (machine::random_word(), machine::random_word());
            fs::write(
                &meta,
                format!("version=1\nnode.id=1\ncluster.id={cluster}\ndirectory.id={directory}\n"),
            )
            .with_context(cannot)?;
        }
        fs::write(self.data.join(PROPERTIES), self.properties(LOGS)).with_context(cannot)
    }

    /// The broker's settings; its logs are in the folder `logs`.
    pub(crate) fn properties(&self, logs: &str) -> String {
        let (port, controller) = (self.port, self.controller_port);
        let clients = format!("PLAINTEXT://127.0.0.1:{port}");
        let proxied = |port: fn(&ProxiedListener) -> u16| {
            let all = self.proxied.iter().map(port).enumerate();
            let addresses = all.map(|(n, port)| format!(",PROXIED{n}://127.0.0.1:{port}"));
            addresses.collect::<String>()
        };
        let (behind, named) = (proxied(|it| it.port), proxied(|it| it.proxy));
        let secure: String = self.secure.iter().map(SecureListener::address).collect();
        let protocols = self.secure.iter().map(|it| format!(",{}:{}", it.name, it.protocol));
        let plain = (0..self.proxied.len()).map(|n| format!(",PROXIED{n}:PLAINTEXT"));
        let (protocols, more): (String, String) = (
            protocols.chain(plain).collect(),
            self.secure.iter().flat_map(SecureListener::lines).collect(),
        );
        format!(
            "{SETTINGS}log.dirs={logs}\nadvertised.listeners={clients}{named}{secure}\n\
             listeners={clients},CONTROLLER://127.0.0.1:{controller}{behind}{secure}\n\
             listener.security.protocol.map={PROTOCOLS}{protocols}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n{more}"
        )
    }
}

/// Whether the broker answers; blocks for up to a second if something listens on the port.
pub fn answers(port: u16) -> anyhow::Result<()> {
    // A client of rdkafka would keep trying a closed port, so the port is tried first.
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    drop(TcpStream::connect_timeout(&address, Duration::from_secs(1))?);
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address.to_string())
        .set("reconnect.backoff.ms", "20")
        .create()?;
    let found = client.fetch_metadata(None, Duration::from_secs(1))?;
    ensure!(!found.brokers().is_empty(), "the broker has not registered yet");
    Ok(())
}

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    config: KafkaConfig,
    watchdog: Arc<Watchdog>,
    launch: Launch<KafkaConfig>,
    server: ServerSlot,
}

impl Kafka {
    /// Starts a broker and waits until it answers.
    pub async fn start(config: KafkaConfig, watchdog: &Arc<Watchdog>) -> anyhow::Result<Self> {
        Self::start_by(process, config, watchdog).await
    }

    /// Starts a broker by `launch`, and waits until it answers.
    pub(crate) async fn start_by(
        launch: Launch<KafkaConfig>,
        config: KafkaConfig,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let (watchdog, server) = (Arc::clone(watchdog), ServerSlot::default());
        let kafka = Self { config, watchdog, launch, server };
        kafka.restart().await?;
        Ok(kafka)
    }

    /// The configuration that the broker was started with.
    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// The address that clients connect to first.
    pub fn bootstrap(&self) -> String {
        self.config.bootstrap()
    }

    /// The address of a secure listener.
    pub fn secure(&self, name: &str) -> Option<String> {
        let listener = self.config.secure.iter().find(|listener| listener.name == name)?;
        Some(format!("127.0.0.1:{}", listener.port))
    }

    /// Makes a user that is known by SCRAM, or gives it another password.
    pub async fn set_user(&self, name: &str, password: &str) -> anyhow::Result<()> {
        // Kafka takes one of them a request.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let mut command = jars::fetch(archive)?.command(&[], "kafka.admin.ConfigCommand");
            command
                .args(["--bootstrap-server", &self.bootstrap(), "--alter"])
                .args(["--entity-type", "users", "--entity-name", name])
                .args(["--add-config", &format!("{mechanism}=[password={password}]")]);
            let done = tokio::task::spawn_blocking(move || command.output()).await??;
            let said = String::from_utf8_lossy(&done.stderr);
            ensure!(done.status.success(), "no user {name}: {said}");
        }
        Ok(())
    }

    /// The broker's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Kills the broker with SIGKILL.
    pub fn kill9(&self) -> anyhow::Result<()> {
        self.server.kill9()
    }

    /// Stops the broker in order, by a controlled shutdown.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::TERM, STOP_MAX).await
    }

    /// Stops the broker if it runs, starts it on the same port, and waits until it answers.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await?;
        let mut server = (self.launch)(&self.config, &self.watchdog).await?;
        let start = Instant::now();
        loop {
            server.still_runs()?;
            let port = self.config.port;
            match tokio::task::spawn_blocking(move || answers(port)).await? {
                Ok(()) => break,
                Err(error) if start.elapsed() > START_MAX => {
                    return Err(error.context("Kafka does not answer"));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
        self.server.put(server);
        Ok(())
    }

    /// Makes topics on the broker.
    pub async fn create_topics(&self, wanted: &[topics::Topic]) -> anyhow::Result<()> {
        topics::create(&self.bootstrap(), wanted).await
    }
}

/// Starts a broker as a process of this machine.
pub(crate) fn process<'a>(
    config: &'a KafkaConfig,
    watchdog: &'a Arc<Watchdog>,
) -> BoxFuture<'a, anyhow::Result<Server>> {
    async move {
        let own = config.clone();
        let command = tokio::task::spawn_blocking(move || own.prepare()).await??;
        Server::spawn("kafka", command, &config.log, (watchdog, Signal::KILL))
    }
    .boxed()
}

/// Runs a broker once, and has the Java machine write the class archive.
fn archive(jars: &Jars, archive: &Path, folder: &Path) -> anyhow::Result<()> {
    let [port, controller_port] = machine::free_ports()?;
    let config = KafkaConfig {
        data: folder.join("scratch"),
        log: folder.join("archive.log"),
        port,
        controller_port,
        proxied: Vec::new(),
        secure: Vec::new(),
        java: java_for_tests(),
    };
    config.format(jars)?;
    let mut options = config.java.clone();
    options.push(format!("-XX:ArchiveClassesAtExit={}", archive.display()));
    let command = config.run(jars, &options);
    let watchdog = Arc::new(Watchdog::start(None)?);
    let under = (&watchdog, Signal::KILL);
    let mut server = Server::spawn("kafka", command, &config.log, under)?;
    let start = Instant::now();
    while answers(port).is_err() {
        server.still_runs()?;
        ensure!(start.elapsed() < START_MAX, "Kafka does not answer");
        std::thread::sleep(LOOK);
    }
    send(server.pid(), Signal::TERM);
    while server.ended()?.is_none() {
        ensure!(start.elapsed() < START_MAX * 2, "Kafka does not stop");
        std::thread::sleep(LOOK);
    }
    fs::remove_dir_all(&config.data)?;
    Ok(())
}
