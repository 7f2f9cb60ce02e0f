//! The folder of a stack, and the record in it by which every command finds the stack again.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::{Ports, engine::ComposeProject};

/// The folder of one stack (`--home`).
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// What calls the stack's API, if somebody gave one.
    token: Option<String>,
}

/// Where a stack is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StackPhase {
    Starting,
    Ready,
    Stopping,
    Stopped,
    Failed,
}

/// What a stack runs on: the broker that carries the events, and who keeps the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Processes of this machine and Apache Kafka, which needs Java.
    Kafka,
    /// Processes of this machine and the broker that librdkafka ships: it forgets everything when
    /// it ends.
    Embedded,
    /// Containers, by deploy/compose.yaml.
    Compose,
}

/// A process as its supervisor last saw it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessState {
    pub name: String,
    pub pid: Option<u32>,
    pub port: u16,
    pub restarts: u32,
}

/// Where a stack is and what runs in it: `stack.json`, written by the supervisor alone, and by who
/// brings containers up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stack {
    pub phase: StackPhase,
    pub backend: Backend,
    pub base_port: u16,
    pub supervisor: u32,
    /// PostgreSQL's data, which may have to lie outside the home; the name of a volume, in
    /// containers.
    pub data: PathBuf,
    /// The password of every role in PostgreSQL: it keeps other users of this machine out.
    pub password: String,
    /// The passwords of roles that have one of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub role_passwords: BTreeMap<String, String>,
    /// The containers, where it runs in containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ComposeProject>,
    pub processes: Vec<ProcessState>,
}

/// Each service's database, and the role that owns it.
pub const DATABASES: [(&str, &str); 4] = [
    ("orders", "order_svc"),
    ("payments", "payment_svc"),
    ("stock", "inventory_svc"),
    ("notify", "notify_svc"),
];

impl ProcessState {
    /// A process that does not run yet.
    pub fn new(name: &str, ports: Ports) -> Self {
        let port = ports.of(name).unwrap_or_default();
        Self { name: name.to_owned(), pid: None, port, restarts: 0 }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = self.to_possible_value().expect("no backend is hidden");
        out.write_str(word.get_name())
    }
}

impl Home {
    /// The home at `path`, which need not exist yet.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)
            .with_context(|| format!("--home {} is not a path", path.display()))?;
        // The record of a stack is JSON, and logs and settings have a line for each path.
        let text = path.to_str().with_context(|| {
            format!("--home {} has bytes that are no UTF-8: choose another", path.display())
        })?;
        if let Some(odd) = text.chars().find(|character| character.is_control()) {
            bail!("--home {text:?} has the control character {odd:?}: choose another");
        }
        Ok(Self { path, token: None })
    }

    /// The same home, whose API is called with `token`, if there is one.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// The token that was given for the stack's API.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log of one process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.path.join("log").join(format!("{process}.log"))
    }

    /// Makes the folder and those in it. Of new folders only the owner may list the content.
    pub fn create(&self) -> anyhow::Result<()> {
        for folder in [self.path.clone(), self.path.join("log"), self.path.join("run")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(if folder == self.path { 0o711 } else { 0o700 })
                .create(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(())
    }

    /// The stack that was last started here, whether or not it still runs.
    pub fn last(&self) -> anyhow::Result<Option<Stack>> {
        let file = self.path.join("stack.json");
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is not what shop wrote", file.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// The stack that runs here; else an error that says how to start one.
    pub fn stack(&self) -> anyhow::Result<Stack> {
        let none = || format!("no stack runs in {}: start one with `shop up`", self.path.display());
        let mut last = self.last()?.with_context(none)?;
        match last.project.clone() {
            Some(project) => last.look_at(&project).with_context(none)?,
            None if self.is_supervised() => {}
            None => bail!(none()),
        }
        Ok(last)
    }

    /// An error if the home has the data of a stack that runs on something else.
    pub fn is_free_for(&self, backend: Backend) -> anyhow::Result<()> {
        match self.last()? {
            Some(last) if last.backend != backend => bail!(
                "{} belongs to a stack with another backend ({}): choose another --home, or \
                 forget that stack with `shop down --fresh`",
                self.path.display(),
                last.backend,
            ),
            _ => Ok(()),
        }
    }

    /// Whether a supervisor holds this home: its lock ends with the process, however it ends.
    pub fn is_supervised(&self) -> bool {
        let lock = fs::OpenOptions::new().write(true).open(self.path.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
    }

    /// Locks the home for the life of the returned file; `None` when another process has it.
    pub fn hold(&self) -> anyhow::Result<Option<fs::File>> {
        let path = self.path.join("lock");
        let lock = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Writes the record, completely or not at all.
    pub fn write(&self, stack: &Stack) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(stack)?;
        self.write_private("stack.json", &text)
    }

    /// Writes a file that only its owner may read, completely or not at all.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (new, file) = (self.path.join(format!("{name}.new")), self.path.join(name));
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut open =
                options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            open.write_all(bytes)?;
            fs::rename(&new, &file)
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Stack {
    /// The ports of this stack.
    pub fn ports(&self) -> anyhow::Result<Ports> {
        Ports::from(self.base_port).context("the stack's record names an impossible base port")
    }

    /// The gateway's address: `http://127.0.0.1:8000`.
    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.base_port)
    }

    /// Kafka's bootstrap address.
    pub fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.base_port + 20)
    }

    /// The address of a process, without the gateway: `http://127.0.0.1:8001`.
    pub fn service(&self, name: &str) -> anyhow::Result<String> {
        let port = self.ports()?.of(name).with_context(|| format!("there is no {name}"))?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// The address of a process's metrics and probes: `http://127.0.0.1:9001`.
    pub fn private(&self, name: &str) -> anyhow::Result<String> {
        let port = self.ports()?.private(name).with_context(|| format!("there is no {name}"))?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// The URL of a database (`orders`, `payments`, `stock`, `notify`), for the service that owns
    /// it.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        let owner = DATABASES.iter().find(|(database, _)| *database == name);
        let (_, role) = owner.with_context(|| format!("there is no database {name}"))?;
        Ok(self.url(role, name))
    }

    /// The URL of a database, for the server's superuser.
    pub fn database_as_superuser(&self, name: &str) -> String {
        self.url("postgres", name)
    }

    /// The URL of a database for a process on this machine: by the server's socket if it has one.
    pub fn local_url(&self, role: &str, database: &str) -> String {
        let url = self.url(role, database);
        match backends::postgres::socket_folder(&self.data).filter(|_| self.project.is_none()) {
            Some(folder) => format!("{url}?host={}", folder.display()),
            None => url,
        }
    }

    /// The URL of a database, for any role.
    pub fn url(&self, role: &str, database: &str) -> String {
        self.url_at(self.base_port + 10, role, database)
    }

    /// The URL of a database at another port, for any role.
    pub fn url_at(&self, port: u16, role: &str, database: &str) -> String {
        let password = self.role_passwords.get(role).unwrap_or(&self.password);
        format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Brings the record of the processes up to date; an error if there is no container at all.
    fn look_at(&mut self, project: &ComposeProject) -> anyhow::Result<()> {
        let names = self.processes.iter().map(|process| &*process.name);
        let containers = project.containers(names)?;
        for process in &mut self.processes {
            let seen = containers.iter().find(|container| container.service == process.name);
            process.pid = seen.and_then(|container| container.pid);
            process.restarts = seen.map_or(process.restarts, |container| container.restarts);
        }
        Ok(())
    }

    /// The record of a process: its process id, and how often it was started again.
    pub fn process(&self, name: &str) -> Option<&ProcessState> {
        self.processes.iter().find(|process| process.name == name)
    }
}
