//! What runs in a stack: each process with its command, and where its data lies.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use backends::{
    kafka,
    machine::{self, Account},
    postgres,
};
use rustix::process::Signal;

use crate::{
    Home, Ports, Stack, faults,
    home::{Backend, ProcessState, StackPhase},
    process::Spec,
    processes::{self, FAULTS, OURS},
    settings::{self, Overrides},
    telemetry::Telemetry,
};

/// How long a service may take to stop: longer than it gives itself to drain.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// How long PostgreSQL and Kafka may take to stop: a fast shutdown of PostgreSQL writes a
/// checkpoint, and Kafka hands over and closes its files. One that is killed instead recovers when
/// it starts.
const BACKEND_STOP_MAX: Duration = Duration::from_secs(12);

/// PostgreSQL's sizes for a stack on a developer's machine.
const POSTGRES: [(&str, &str); 6] = [
    ("max_connections", "100"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "2GB"),
    ("min_wal_size", "512MB"),
    ("wal_buffers", "64MB"),
    ("superuser_reserved_connections", "5"),
];

/// Kafka's heap, fixed, unless `SHOP_KAFKA__HEAP` says otherwise.
const HEAP: &str = "1g";

/// Everything needed to start the stack.
pub struct Plan {
    pub home: Home,
    pub stack: Stack,
    pub ports: Ports,
    pub binaries: PathBuf,
    pub overrides: Overrides,
    pub telemetry: Telemetry,
}

impl Plan {
    /// The plan of a stack in `home`, from the given base port, or from the one it had before.
    pub fn of(home: &Home, base_port: Option<u16>, backend: Backend) -> anyhow::Result<Self> {
        let last = home.last()?;
        let base = base_port.or(last.as_ref().map(|last| last.base_port)).unwrap_or(8000);
        let ports = Ports::from(base).context("--base-port is too high")?;
        let known = last.filter(|last| last.data.join("PG_VERSION").exists());
        let (data, password) = match known {
            Some(last) => (last.data, last.password),
            None => (data_folder(home)?, machine::random_word()),
        };
        let telemetry = Telemetry::find()?;
        let stack = Stack {
            phase: StackPhase::Starting,
            backend,
            base_port: base,
            supervisor: std::process::id(),
            data,
            password,
            role_passwords: BTreeMap::new(),
            project: None,
            processes: ["postgres", "kafka"]
                .into_iter()
                .chain(OURS)
                .chain(telemetry.names())
                .chain(faults::are_wanted().then_some(FAULTS))
                .map(|name| ProcessState::new(name, ports))
                .collect(),
        };
        let program = std::env::current_exe().context("cannot find this program")?;
        let binaries = program.parent().context("this program lies nowhere")?.to_owned();
        let overrides = Overrides::from_environment();
        Ok(Self { home: home.clone(), stack, ports, binaries, overrides, telemetry })
    }

    /// An error that says what to build if one of the shop's programs is missing.
    pub fn check_programs(&self) -> anyhow::Result<()> {
        let is_missing = |name: &&str| !self.binaries.join(name).is_file();
        let missing: Vec<_> = OURS.into_iter().filter(is_missing).collect();
        let folder = self.binaries.display();
        ensure!(missing.is_empty(), "not in {folder}: {} (cargo build)", missing.join(", "));
        Ok(())
    }

    /// An error that names which process has a port of the stack, and says what to do.
    pub fn check_ports(&self) -> anyhow::Result<()> {
        let is_taken = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_err();
        let proxies = self.has_faults().then(|| faults::ports(self.ports)).into_iter().flatten();
        let mut taken: Vec<_> =
            self.ports.all().into_iter().chain(proxies).filter(is_taken).collect();
        taken.sort_unstable();
        let owners = taken.iter().map(|port| match processes::listener(*port) {
            Some(owner) => format!("{port} by {owner}"),
            None => format!("{port} by somebody whom we may not see"),
        });
        ensure!(
            taken.is_empty(),
            "ports in use: {owners}. Stop what listens there, or choose others: \
             --base-port {free} (with make: BASE_PORT={free})",
            owners = owners.collect::<Vec<_>>().join("; "),
            free = self.ports.base().saturating_add(100)
        );
        Ok(())
    }

    /// The configuration of this stack's PostgreSQL.
    pub fn postgres(&self) -> postgres::PostgresConfig {
        let sizes = POSTGRES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = self.overrides.of("postgres");
        let own = own.into_iter().map(|(name, value)| (name.to_lowercase(), value));
        postgres::PostgresConfig {
            data: self.stack.data.clone(),
            log: self.home.log("postgres"),
            port: self.ports.postgres(),
            password: self.stack.password.clone(),
            settings: sizes.into_iter().chain(own).collect(),
        }
    }

    /// The configuration of this stack's Kafka.
    pub fn kafka(&self) -> kafka::KafkaConfig {
        let heap = self.overrides.get("kafka", "HEAP").unwrap_or_else(|| HEAP.to_owned());
        let more = self.overrides.get("kafka", "JAVA").unwrap_or_default();
        let mut java = kafka::java_for_load(&heap);
        java.extend(more.split_whitespace().map(str::to_owned));
        kafka::KafkaConfig {
            data: self.home.path().join("kafka"),
            log: self.home.log("kafka"),
            port: self.ports.kafka(),
            controller_port: self.ports.controller(),
            proxied: if self.has_faults() { faults::kafka(self.ports) } else { Vec::new() },
            secure: Vec::new(),
            java,
        }
    }

    /// How to run PostgreSQL.
    pub fn run_postgres(&self) -> Spec {
        let config = self.postgres();
        let stop = (Signal::INT, BACKEND_STOP_MAX);
        Spec { name: "postgres", command: Box::new(move || config.prepare()), stop }
    }

    /// How to run Kafka, or what stands in for it.
    pub fn run_kafka(&self) -> Spec {
        let stop = (Signal::TERM, BACKEND_STOP_MAX);
        if self.stack.backend == Backend::Embedded {
            let port = self.ports.kafka().to_string();
            return self.run_part("kafka", &["broker", "--port", &port], stop);
        }
        let config = self.kafka();
        Spec { name: "kafka", command: Box::new(move || config.prepare()), stop }
    }

    /// Whether every connection leads through a fault proxy.
    pub fn has_faults(&self) -> bool {
        self.stack.process(FAULTS).is_some()
    }

    /// How to run a command of `shop` as a process of the stack.
    fn run_part(&self, name: &'static str, words: &[&str], stop: (Signal, Duration)) -> Spec {
        let (program, home) = (self.binaries.join("shop"), self.home.path().to_owned());
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let command = move || {
            let mut command = Command::new(&program);
            command.args(&words).process_group(0).current_dir(&home);
            Ok(command)
        };
        Spec { name, command: Box::new(command), stop }
    }

    /// How to run the fault proxies.
    pub fn run_faults(&self) -> Spec {
        let base = self.ports.base().to_string();
        self.run_part(FAULTS, &["faults", "--base-port", &base], (Signal::TERM, DRAIN_MAX))
    }

    /// How to run one of the shop's own processes.
    pub fn run_ours(&self, name: &'static str) -> Spec {
        let program = self.binaries.join(name);
        let mut settings = settings::of(name, &self.stack, self.ports, self.home.path());
        if self.overrides.has_own_issuer() {
            settings.retain(|(name, _)| name != "SHOP_JWKS");
        }
        let own = self.overrides.of(name);
        settings.extend(own.into_iter().map(|(name, value)| (format!("SHOP_{name}"), value)));
        let hidden: Vec<_> = self.overrides.names().map(str::to_owned).collect();
        let home = self.home.path().to_owned();
        let command = move || {
            let mut command = Command::new(&program);
            // Out of reach of a Ctrl-C, which is for the supervisor: it knows the order of
            // stopping.
            command.process_group(0).current_dir(&home);
            for name in &hidden {
                command.env_remove(name);
            }
            command.envs(settings.iter().map(|(name, value)| (name, value)));
            Ok(command)
        };
        Spec { name, command: Box::new(command), stop: (Signal::TERM, DRAIN_MAX) }
    }
}

/// PostgreSQL's data folder: in the home, or elsewhere if PostgreSQL's account cannot enter the
/// home.
fn data_folder(home: &Home) -> anyhow::Result<PathBuf> {
    if Account::unprivileged()?.can_enter(home.path()) {
        return Ok(home.path().join("postgres"));
    }
    let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(home.path());
    let folder = Path::new("/var/tmp").join(format!("shop-{hash:016x}"));
    if let Err(error) = fs::DirBuilder::new().mode(0o711).create(&folder)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("cannot make {}", folder.display()));
    }
    // Anybody may make folders there, so a folder of this name has to be checked for its owner.
    let owner = fs::symlink_metadata(&folder)?.uid();
    let ours = rustix::process::geteuid().as_raw() == owner;
    ensure!(ours, "{} belongs to somebody else", folder.display());
    Ok(folder.join("postgres"))
}
