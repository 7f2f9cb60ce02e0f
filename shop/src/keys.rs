//! The secrets of a stack, made once. `shop keys` (hidden) lays them out for containers: a folder
//! for each service, with what it alone may see.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use backends::machine;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{Home, home::DATABASES, token};

const SEAL_KEY: &str = "seal-key";
const WEBHOOK_SECRET: &str = "webhook-secret";
const PASSWORDS: &str = "passwords.json";
/// The folder of what `shop` itself needs.
const OWN: &str = "shop";
/// Where PostgreSQL is for the containers.
const POSTGRES: &str = "postgres:5432";
/// The ports of a fault proxy are above this one: the services' in the order of their databases,
/// then the relay's.
const PROXY_PORT: u16 = 15_000;
const RELAY: u16 = 5;

/// The passwords of a stack in containers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passwords {
    /// PostgreSQL's superuser's.
    pub postgres: String,
    /// Of each role that owns a database.
    pub roles: BTreeMap<String, String>,
    grafana: String,
}

/// The arguments of `shop keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    pub folder: PathBuf,
    /// The host of a fault proxy, with a port for each of PostgreSQL's clients.
    #[arg(long, value_name = "HOST")]
    pub proxy: Option<String>,
}

/// Runs the command: makes what is not there yet.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let own = Home::at(&args.folder.join(OWN))?;
    make_folder(own.path())?;
    make(&own)?;
    if !own.path().join(PASSWORDS).exists() {
        own.write_private(PASSWORDS, &serde_json::to_vec(&Passwords::new())?)?;
    }
    let passwords = Passwords::read(own.path())?;
    for service in ["order-svc", "payment-svc", "inventory-svc", "notify-svc", "gateway"] {
        copy(&own, token::KEY_SET, &args.folder.join(service))?;
    }
    for service in ["order-svc", "payment-svc"] {
        copy(&own, SEAL_KEY, &args.folder.join(service))?;
    }
    for service in ["payment-svc", "notify-svc", "simulator", "smtp-sink"] {
        copy(&own, WEBHOOK_SECRET, &args.folder.join(service))?;
    }
    for (number, (database, role)) in (1..).zip(DATABASES) {
        let service = args.folder.join(role.replace('_', "-"));
        write(&service, "database-url", &passwords.url(role, &args.postgres(number), database))?;
    }
    let relay = args.postgres(RELAY);
    let all = DATABASES
        .map(|(database, role)| format!("{database}={}", passwords.url(role, &relay, database)));
    write(&args.folder.join("outbox-relay"), "databases", &all.join(","))?;
    write(&args.folder.join("postgres"), "password", &passwords.postgres)?;
    write(&args.folder.join("grafana"), "password", &passwords.grafana)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Where a client of PostgreSQL finds it; deploy/toxiproxy.json has these ports, too.
    fn postgres(&self, client: u16) -> String {
        let proxied = |host| format!("{host}:{}", PROXY_PORT + client);
        self.proxy.as_ref().map_or_else(|| POSTGRES.to_owned(), proxied)
    }
}

/// Makes the keys that are not there: one that signs tokens, one with which order-svc seals payment
/// details for payment-svc, and one with which notify-svc signs its webhooks to the sink.
pub fn make(home: &Home) -> anyhow::Result<()> {
    for (name, prefix) in [(SEAL_KEY, ""), (WEBHOOK_SECRET, "whsec_")] {
        if !home.path().join(name).exists() {
            let key = STANDARD.encode(rand::random::<[u8; 32]>());
            home.write_private(name, format!("{prefix}{key}").as_bytes())?;
        }
    }
    token::make_key(home)
}

impl Passwords {
    fn new() -> Self {
        let roles = DATABASES.map(|(_, role)| (role.to_owned(), machine::random_word()));
        let [postgres, grafana] = [machine::random_word(), machine::random_word()];
        Self { postgres, roles: roles.into(), grafana }
    }

    /// Reads the passwords in the folder of what `shop` itself needs.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(PASSWORDS);
        let text = fs::read(&file).with_context(|| format!("no {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| file.display().to_string())
    }

    /// The URL of a database, for a role or the superuser, at a server (`host:port`).
    pub fn url(&self, role: &str, server: &str, database: &str) -> String {
        let password = self.roles.get(role).unwrap_or(&self.postgres);
        format!("postgres://{role}:{password}@{server}/{database}")
    }
}

fn copy(own: &Home, name: &str, folder: &Path) -> anyhow::Result<()> {
    write(folder, name, &fs::read_to_string(own.path().join(name))?)
}

/// Writes a file that whoever sees the folder may read: its service runs as a user of its own
/// image.
fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    make_folder(folder)?;
    let home = Home::at(folder)?;
    home.write_private(name, text.as_bytes())?;
    let file = folder.join(name);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444))
        .with_context(|| format!("cannot open {} to its reader", file.display()))
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_gets_its_own_secrets_and_they_stay() {
        let folder = std::env::temp_dir().join(format!("shop-keys-{}", machine::random_word()));
        let args = Args { folder: folder.clone(), proxy: None };
        run(&args).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let [url, seal] = ["order-svc/database-url", "order-svc/seal-key"].map(read);

        run(&args).unwrap();

        assert_eq!([url, seal], ["order-svc/database-url", "payment-svc/seal-key"].map(read));
        assert!(read("order-svc/database-url").ends_with("@postgres:5432/orders"));
        let names = |service: &str| {
            let entries = fs::read_dir(folder.join(service)).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names("gateway"), [token::KEY_SET]);
        assert_eq!(names("inventory-svc"), ["database-url", token::KEY_SET]);
        assert_eq!(names("outbox-relay"), ["databases"]);
        assert_eq!(names("postgres"), ["password"]);
        run(&Args { proxy: Some("toxiproxy".to_owned()), ..args }).unwrap();
        assert!(read("notify-svc/database-url").ends_with("@toxiproxy:15004/notify"));
        assert!(read("outbox-relay/databases").contains("@toxiproxy:15005/orders,"));
        let proxies = include_str!("../../deploy/toxiproxy.json");
        for (number, client) in (PROXY_PORT + 1..).zip(["order", "payment", "inventory", "notify"])
        {
            let proxy = format!(r#""{client}-svc-postgres", "listen": "0.0.0.0:{number}""#);
            assert!(proxies.contains(&proxy), "{proxy}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
