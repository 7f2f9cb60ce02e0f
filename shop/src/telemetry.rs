//! Prometheus and Jaeger beside a stack, where they are installed. The shop needs neither.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use backends::machine;
use rustix::process::Signal;
use serde_json::json;

use crate::{
    Ports,
    process::Spec,
    processes::{JAEGER, OURS, PROMETHEUS},
};

/// `SHOP_TELEMETRY=off` leaves both out.
const SWITCH: &str = "SHOP_TELEMETRY";
const STOP_MAX: Duration = Duration::from_secs(5);
/// How long samples are kept: a stack on a developer's machine is looked at while it runs.
const RETENTION: &str = "--storage.tsdb.retention.time=3d";

/// Configuration, by its place below the folder of Prometheus.
const PROMETHEUS_FILES: [(&str, &str); 4] = [
    ("prometheus.yml", include_str!("../../deploy/prometheus/prometheus.yml")),
    ("rules/alerts.yml", include_str!("../../deploy/prometheus/rules/alerts.yml")),
    ("rules/recording.yml", include_str!("../../deploy/prometheus/rules/recording.yml")),
    ("rules/slo.yml", include_str!("../../deploy/prometheus/rules/slo.yml")),
];
/// Jaeger's own configuration, in the home.
const JAEGER_NAME: &str = "jaeger.yaml";
const JAEGER_FILE: &str = include_str!("../../deploy/jaeger/jaeger.yaml");

/// Where the programs are.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    prometheus: Option<PathBuf>,
    jaeger: Option<PathBuf>,
    is_wanted: bool,
}

impl Telemetry {
    /// Looks for the programs: on the PATH, and Jaeger in the shop's cache, too.
    pub fn find() -> anyhow::Result<Self> {
        if !is_wanted()? {
            return Ok(Self::default());
        }
        let cached = machine::cache()?.join(JAEGER);
        let jaeger = machine::program(JAEGER).or_else(|| Some(cached).filter(|it| it.is_file()));
        Ok(Self { prometheus: machine::program(PROMETHEUS), jaeger, is_wanted: true })
    }

    /// The names of those that are there.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let found = [(PROMETHEUS, &self.prometheus), (JAEGER, &self.jaeger)];
        found.into_iter().filter(|(_, program)| program.is_some()).map(|(name, _)| name)
    }

    /// What is not there, and how to get it.
    pub fn lacks(&self) -> impl Iterator<Item = &'static str> {
        let prometheus = "no Prometheus: metrics are kept nowhere (apt-get install prometheus)";
        let jaeger = "no Jaeger: traces go nowhere (make jaeger builds it, with Go)";
        let all = [(prometheus, &self.prometheus), (jaeger, &self.jaeger)].into_iter();
        all.filter(|(_, program)| self.is_wanted && program.is_none()).map(|(lack, _)| lack)
    }

    /// How to run those that are there, for a stack in `home`.
    pub fn specs(&self, home: &Path, ports: Ports) -> Vec<Spec> {
        let programs: [(_, _, MakeCommand); 2] =
            [(PROMETHEUS, &self.prometheus, prometheus), (JAEGER, &self.jaeger, jaeger)];
        let spec = |(name, program, command): (_, &Option<PathBuf>, MakeCommand)| {
            let (program, home) = (program.clone()?, home.to_owned());
            let command = Box::new(move || command(&program, &home, ports));
            Some(Spec { name, command, stop: (Signal::TERM, STOP_MAX) })
        };
        programs.into_iter().filter_map(spec).collect()
    }
}

/// Whether a stack is to have them.
pub fn is_wanted() -> anyhow::Result<bool> {
    match std::env::var_os(SWITCH) {
        Some(off) if off == "off" => Ok(false),
        Some(other) if other != "on" => bail!("{SWITCH} is {}: write on or off", other.display()),
        Some(_) | None => Ok(true),
    }
}

/// Makes the command of a program, for a stack in a home.
type MakeCommand = fn(&Path, &Path, Ports) -> anyhow::Result<Command>;

/// The folder of Prometheus in a home: its configuration, its rules and its data.
pub fn prometheus_folder(home: &Path) -> PathBuf {
    home.join(PROMETHEUS)
}

fn prometheus(program: &Path, home: &Path, ports: Ports) -> anyhow::Result<Command> {
    let folder = prometheus_folder(home);
    for (name, text) in PROMETHEUS_FILES {
        write(&folder.join(name), text)?;
    }
    write(&folder.join("targets.json"), &targets(ports))?;
    let port = ports.of(PROMETHEUS).context("Prometheus has no port")?;
    let mut command = Command::new(program);
    command
        // Relative to the home: Prometheus takes the paths of its files for patterns, and a home
        // may have any name.
        .arg(format!("--config.file={PROMETHEUS}/prometheus.yml"))
        .arg(format!("--storage.tsdb.path={PROMETHEUS}/data"))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(RETENTION)
        .arg("--log.level=warn")
        .process_group(0)
        .current_dir(home);
    Ok(command)
}

/// The private listener of each of the shop's processes, as Prometheus finds targets in files.
fn targets(ports: Ports) -> String {
    let targets = OURS.iter().filter_map(|name| {
        let target = format!("127.0.0.1:{}", ports.private(name)?);
        Some(json!({"targets": [target], "labels": {"job": name}}))
    });
    json!(targets.collect::<Vec<_>>()).to_string()
}

fn jaeger(program: &Path, home: &Path, ports: Ports) -> anyhow::Result<Command> {
    write(&home.join(JAEGER_NAME), JAEGER_FILE)?;
    let port = ports.of(JAEGER).context("Jaeger has no port")?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config=file:{JAEGER_NAME}"))
        .env("QUERY_PORT", port.to_string())
        .env("OTLP_PORT", ports.otlp().to_string())
        .env("QUERY_GRPC_PORT", (ports.otlp() + 1).to_string())
        .env("HEALTH_PORT", ports.jaeger_health().to_string())
        .process_group(0)
        .current_dir(home);
    Ok(command)
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_of_ours_is_a_target_by_its_name() {
        let targets = targets(Ports::from(8000).unwrap());
        let targets: Vec<serde_json::Value> = serde_json::from_str(&targets).unwrap();

        assert_eq!(targets.len(), OURS.len());
        let gateway = json!({"targets": ["127.0.0.1:9000"], "labels": {"job": "gateway"}});
        assert!(targets.contains(&gateway), "{targets:?}");
    }
}
