//! A local PostgreSQL server: installed binaries, with its own data directory and port.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::{FutureExt as _, future::BoxFuture};
use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    Watchdog,
    machine::{self, Account},
    server::{LOOK, Launch, Server, ServerSlot, send},
};

/// The longest start: recovery after a crash with 2 GB of WAL took 20 s on a slow disk.
const START_MAX: Duration = Duration::from_mins(1);

/// The longest stop: a fast shutdown writes a checkpoint, which takes seconds on a slow disk.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Where a server's files and port are, and its settings.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The data directory; made when it does not exist.
    pub data: PathBuf,
    pub log: PathBuf,
    pub port: u16,
    /// The password of the superuser `postgres`, set when the data directory is made.
    pub password: String,
    /// Settings that are added to those of every server here, and win over them.
    pub settings: Vec<(String, String)>,
}

/// The settings of every server here. Sizes differ, so the caller sets them.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("wal_sync_method", "fdatasync"),
    ("wal_level", "replica"),
    ("checkpoint_timeout", "15min"),
    ("checkpoint_completion_target", "0.9"),
    ("jit", "off"),
    ("autovacuum_naptime", "20s"),
    // The services' plans do not depend on statistics, and gathering them took a third of
    // autovacuum's time.
    ("default_statistics_target", "10"),
    ("track_wal_io_timing", "on"),
    ("log_lock_waits", "on"),
    ("log_line_prefix", "%m [%p] %u@%d "),
    // Messages in English: the code that waits for a start looks for their words.
    ("lc_messages", "C"),
];

/// The environment of every server that is a process. By default the allocator gives memory back
/// after nearly every statement, to ask for it again at the next: a tenth of a server's time in a
/// quiet hour.
const ENVIRONMENT: [(&str, &str); 2] =
    [("MALLOC_TOP_PAD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "8388608")];

/// The longest folder for a socket: the socket's whole path has room for 107 bytes.
const SOCKET_FOLDER_MAX: usize = 80;

/// The folder of the socket of a server with this data directory. A socket costs less than a TCP
/// port. None if the path is too long for a socket, or would have to be escaped in an address.
pub fn socket_folder(data: &Path) -> Option<&Path> {
    let path = data.to_str()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    (path.len() <= SOCKET_FOLDER_MAX && path.bytes().all(is_plain)).then_some(data)
}

impl PostgresConfig {
    /// The address of a database, for a role that has the superuser's password.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The address of a database, for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// Makes the data directory if there is none, writes the settings, and returns the command to
    /// run.
    pub fn prepare(&self) -> anyhow::Result<Command> {
        let account = Account::unprivileged()?;
        let binaries = binaries()?;
        if !self.data.join("PG_VERSION").exists() {
            self.initialize(account, &binaries)?;
        }
        let compression = accepts(account, &binaries, "wal_compression=lz4")
            .then_some(("wal_compression", "lz4"));
        let socket = socket_folder(&self.data).and_then(Path::to_str).unwrap_or_default();
        let of_this_machine = [("unix_socket_directories", socket)].into_iter().chain(compression);
        let of_this_machine =
            of_this_machine.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = of_this_machine.chain(self.settings());
        let lines =
            settings.map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
        let text = lines.collect::<Vec<_>>().concat();
        let file = self.data.join("postgresql.conf");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;

        let mut command = account.command(binaries.join("postgres"));
        command.arg("-D").arg(&self.data).current_dir("/").envs(ENVIRONMENT);
        Ok(command)
    }

    /// The settings, wherever the server runs. The last of a name wins.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let common = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let port = [("port".to_owned(), self.port.to_string())];
        common.into_iter().chain(self.settings.iter().cloned()).chain(port)
    }

    fn initialize(&self, account: Account, binaries: &Path) -> anyhow::Result<()> {
        // initdb would refuse what an interrupted initdb has left.
        if self.data.exists() {
            fs::remove_dir_all(&self.data)
                .with_context(|| format!("cannot clear {}", self.data.display()))?;
        }
        let cannot = || format!("cannot make the folder {}", self.data.display());
        if let Some(parent) = self.data.parent() {
            fs::create_dir_all(parent).with_context(cannot)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&self.data).with_context(cannot)?;
        account.own(&self.data)?;

        // initdb wants the password in a file: it is written after nobody else can read the file.
        let secret = self.data.with_extension("password");
        fs::write(&secret, "")?;
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(&secret, &self.password)?;
        account.own(&secret)?;
        let made = account
            .command(binaries.join("initdb"))
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--auth=scram-sha-256", "--pwfile"])
            .arg(&secret)
            .arg("--pgdata")
            .arg(&self.data)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .context("cannot run initdb")?;
        fs::remove_file(&secret).ok();
        if !made.status.success() {
            // Otherwise the next start would take the incomplete folder for a data directory.
            fs::remove_dir_all(&self.data).ok();
            bail!("initdb failed:\n{}", String::from_utf8_lossy(&made.stderr).trim_end());
        }
        Ok(())
    }

    /// Whether the server answers.
    pub async fn answers(&self) -> Result<(), sqlx::Error> {
        PgConnection::connect(&self.url("postgres")).await?.close().await
    }
}

/// The folder of the newest installed PostgreSQL.
fn binaries() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, path)| path.join("initdb").is_file())
        .max();
    let on_path = || Some(machine::program("initdb")?.canonicalize().ok()?.parent()?.to_owned());
    newest
        .map(|(_, path)| path)
        .or_else(on_path)
        .context("PostgreSQL is not installed: apt-get install postgresql")
}

/// Whether this build of the server takes the setting.
fn accepts(account: Account, binaries: &Path, setting: &str) -> bool {
    let name = setting.split('=').next().unwrap_or_default();
    let mut command = account.command(binaries.join("postgres"));
    command.args(["-C", name, "-c", setting, "-D", "/nonexistent"]).current_dir("/");
    // The command fails in any case, because there is no data directory; only its message differs.
    command
        .output()
        .is_ok_and(|said| !String::from_utf8_lossy(&said.stderr).contains("invalid value"))
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    config: PostgresConfig,
    watchdog: Arc<Watchdog>,
    launch: Launch<PostgresConfig>,
    server: ServerSlot,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    pub async fn start(config: PostgresConfig, watchdog: &Arc<Watchdog>) -> anyhow::Result<Self> {
        Self::start_by(process, config, watchdog).await
    }

    /// Starts a server by `launch`, and waits until it answers.
    pub(crate) async fn start_by(
        launch: Launch<PostgresConfig>,
        config: PostgresConfig,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let (watchdog, server) = (Arc::clone(watchdog), ServerSlot::default());
        let server = Self { config, watchdog, launch, server };
        server.restart().await?;
        Ok(server)
    }

    /// The configuration that the server was started with.
    pub fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// The address of a database, for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.config.url(database)
    }

    /// The server's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Kills the postmaster with SIGKILL: a crash.
    pub fn kill9(&self) -> anyhow::Result<()> {
        self.server.kill9()
    }

    /// A fast shutdown: sessions are ended, everything is on disk.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.server.stop(Signal::INT, STOP_MAX).await
    }

    /// Stops the server if it runs, starts it on the same port, and waits until it answers.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await?;
        let start = Instant::now();
        loop {
            match self.try_start(start).await {
                // Backends of a killed server hold its shared memory until they notice its end.
                Err(error) if start.elapsed() < START_MAX && is_transient(&error) => {
                    tokio::time::sleep(LOOK * 5).await;
                }
                ended => return ended,
            }
        }
    }

    async fn try_start(&self, start: Instant) -> anyhow::Result<()> {
        fs::remove_file(&self.config.log).ok();
        let mut server = (self.launch)(&self.config, &self.watchdog).await?;
        loop {
            server.still_runs()?;
            match self.config.answers().await {
                Ok(()) => break,
                Err(error) if start.elapsed() > START_MAX => {
                    return Err(error).context("PostgreSQL does not answer");
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
        self.server.put(server);
        Ok(())
    }

    /// Shows a certificate from now on, and refuses who does not encrypt; with `clients`, also who
    /// has no certificate of that authority. All in PEM. Sessions that are open stay.
    pub fn encrypt(
        &self,
        certificate: &str,
        key: &str,
        clients: Option<&str>,
    ) -> anyhow::Result<()> {
        let owner = fs::metadata(&self.config.data)?;
        let clientcert = if clients.is_some() { " clientcert=verify-ca" } else { "" };
        let access = format!("hostssl all all 127.0.0.1/32 scram-sha-256{clientcert}\n");
        for (name, content) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("clients.crt", clients.unwrap_or(certificate)),
            ("pg_hba.conf", &access),
        ] {
            let path = self.config.data.join(name);
            fs::write(&path, content)?;
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
        fs::write(
            self.config.data.join("postgresql.auto.conf"),
            "ssl = on\nssl_ca_file = 'clients.crt'\n",
        )?;
        let pid = self.server.pid().context("the server does not run")?;
        send(pid, Signal::HUP);
        Ok(())
    }

    /// Makes a database on the server.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let mut db = PgConnection::connect(&self.url("postgres")).await?;
        let statement = format!("create database {}", quoted(name));
        db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
        Ok(db.close().await?)
    }
}

/// Starts a server as a process of this machine.
pub(crate) fn process<'a>(
    config: &'a PostgresConfig,
    watchdog: &'a Arc<Watchdog>,
) -> BoxFuture<'a, anyhow::Result<Server>> {
    async move {
        let own = config.clone();
        let command = tokio::task::spawn_blocking(move || own.prepare()).await??;
        Server::spawn("postgres", command, &config.log, (watchdog, Signal::QUIT))
    }
    .boxed()
}

fn is_transient(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("shared memory block") || text.contains("lock file \"postmaster.pid\"")
}

/// A database, the role that owns it, and the password with which the role comes.
#[derive(Clone, Copy, Debug)]
pub struct OwnedDatabase<'a> {
    pub name: &'a str,
    pub role: &'a str,
    pub password: &'a str,
}

impl PostgresConfig {
    /// Databases whose owners have the server's password.
    pub fn owned<'a, const N: usize>(
        &'a self,
        databases: &[(&'a str, &'a str); N],
    ) -> [OwnedDatabase<'a>; N] {
        let password = &*self.password;
        databases.map(|(name, role)| OwnedDatabase { name, role, password })
    }
}

/// Makes databases and their owners if they do not exist, as the superuser to whom `url` leads.
pub async fn create_owned(url: &str, owned: &[OwnedDatabase<'_>]) -> anyhow::Result<()> {
    let mut db = PgConnection::connect(url).await?;
    for OwnedDatabase { name: database, role, password } in owned {
        let role_exists = "select 1 from pg_roles where rolname = $1";
        if sqlx::query_scalar::<_, i32>(role_exists)
            .bind(role)
            .fetch_optional(&mut db)
            .await?
            .is_none()
        {
            // A service that forgets a transaction must not hold up vacuum and the relay.
            let statement = format!(
                "create role {0} login password '{1}'; \
                 alter role {0} set idle_in_transaction_session_timeout = '5s'",
                quoted(role),
                password.replace('\'', "''"),
            );
            db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
        }
        let exists = "select 1 from pg_database where datname = $1";
        if sqlx::query_scalar::<_, i32>(exists)
            .bind(database)
            .fetch_optional(&mut db)
            .await?
            .is_none()
        {
            let statement = format!("create database {} owner {}", quoted(database), quoted(role));
            db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
        }
    }
    Ok(db.close().await?)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
