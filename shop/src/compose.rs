//! A stack in containers: `shop up --backend compose` brings deploy/compose.yaml up, and writes the
//! record by which the other commands find it. The engine starts again what ends, so nothing stays
//! behind to supervise.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Home, Ports, Stack,
    engine::{self, ComposeProject},
    faults,
    home::{Backend, ProcessState, StackPhase},
    keys::Passwords,
    processes::{JAEGER, OURS, PROMETHEUS},
    progress::ProgressStep,
    settings::Overrides,
    status, telemetry,
    terminal::note,
};

/// The image of all programs, unless `SHOP_IMAGE` names another.
const OWN_IMAGE: &str = concat!("shop:", env!("CARGO_PKG_VERSION"));
const IMAGE: &str = "SHOP_IMAGE";
/// Where the compose file is, below the workspace.
const FILE: &str = "deploy/compose.yaml";
/// What the home adds to it: what is said for one process alone, and what is said for all.
pub const OVERRIDE: &str = "compose.override.json";
pub const SETTINGS: &str = "settings.env";
/// The secrets that `shop` itself needs, as the container that made them has them.
const SECRETS: &str = "/secrets/shop/.";
/// The port at which plain `docker compose up` puts the gateway, and which it has inside of its
/// container anyway; and the name that it gives the project.
pub const PORT: u16 = 8000;
const PROJECT: &str = "shop";
/// Where fault proxies are wanted: another file beside the first, and the profile that they have.
const FAULTS_FILE: &str = "compose.faults.yaml";
const FAULTS_PROFILE: &str = "faults";
/// What is said to `shop`, and not to the shop.
const NOT_SETTINGS: [&str; 8] = [
    "SHOP_BACKEND",
    faults::SETTING,
    IMAGE,
    "SHOP_PORTS",
    "SHOP_PRIVATE_PORTS",
    "SHOP_SETTINGS",
    "SHOP_TELEMETRY",
    "SHOP_TOKEN",
];

/// How a stack in containers is brought up.
#[derive(Clone, Copy, Debug)]
pub struct ComposeStart {
    pub base_port: Option<u16>,
    /// Come back when all is healthy.
    pub detach: bool,
    /// Forget the data when it ends.
    pub ephemeral: bool,
}

/// Brings the containers up, or what is missing of them; unless detached, takes them down after
/// Ctrl-C.
pub async fn up(start: ComposeStart, home: &Home) -> anyhow::Result<ExitCode> {
    home.is_free_for(Backend::Compose)?;
    let held = home.hold()?;
    let held = held.with_context(|| format!("{} is taken", home.path().display()))?;
    engine::answers().context("no engine for containers answers")?;
    let last = home.last()?.map(|last| last.base_port);
    let base = start.base_port.or(last).unwrap_or(PORT);
    let ports = Ports::from(base).context("--base-port is too high")?;
    ensure!(
        base.is_multiple_of(100) && base >= 1000,
        "--base-port {base}: containers take a multiple of 100, such as 9500"
    );
    let project = project(home, base)?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    note(format!("starting the shop in containers (project {})", project.name));
    let mut bringing = {
        let (home, project) = (home.clone(), project.clone());
        tokio::task::spawn_blocking(move || bring_up(&home, &project, ports))
    };
    let up = tokio::select! {
        up = &mut bringing => Some(up?),
        _ = interrupted.recv() => None,
        _ = terminated.recv() => None,
    };
    let up = match up {
        Some(up) => up,
        // What is still made would outlive what is taken down.
        None => bringing.await?.and(Err(anyhow!("interrupted"))),
    };
    match up {
        Ok(mut stack) => {
            stack.supervisor = if start.detach { 0 } else { std::process::id() };
            home.write(&stack)?;
            status::show(&stack)?;
        }
        Err(error) if start.detach => return Err(error),
        Err(error) => return take_down(&project, home, start.ephemeral).and(Err(error)),
    }
    if start.detach {
        drop(held);
        return Ok(ExitCode::SUCCESS);
    }
    note("Ctrl-C stops it all.");
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    take_down(&project, home, start.ephemeral)?;
    Ok(ExitCode::SUCCESS)
}

/// Stops the containers of a stack and removes them; `fresh` forgets the volumes, too.
pub fn take_down(project: &ComposeProject, home: &Home, fresh: bool) -> anyhow::Result<()> {
    let step = ProgressStep::begin("containers");
    project.down(fresh)?;
    if let Some(mut stack) = home.last()? {
        stack.phase = StackPhase::Stopped;
        home.write(&stack)?;
    }
    step.done("stopped");
    Ok(())
}

fn project(home: &Home, base: u16) -> anyhow::Result<ComposeProject> {
    let name = if base == PORT { PROJECT.to_owned() } else { format!("{PROJECT}-{base}") };
    let mut files = vec![file()?];
    if faults::are_wanted() {
        files.push(files[0].with_file_name(FAULTS_FILE));
    }
    files.push(home.path().join(OVERRIDE));
    Ok(ComposeProject { name, files })
}

/// The compose file of the workspace in which this folder lies.
fn file() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("there is no current folder")?;
    let found = here.ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file());
    found.with_context(|| format!("no {FILE} here or above: go to a checkout of the shop"))
}

fn bring_up(home: &Home, project: &ComposeProject, ports: Ports) -> anyhow::Result<Stack> {
    let step = ProgressStep::begin("containers");
    let overrides = Overrides::from_environment();
    let has_telemetry = telemetry::is_wanted()?;
    let override_file = serde_json::to_vec_pretty(&override_of(&overrides, has_telemetry))?;
    home.write_private(OVERRIDE, &override_file)?;
    home.write_private(SETTINGS, settings(&overrides)?.as_bytes())?;
    let variables = [
        ("SHOP_PORTS", (ports.base() / 100).to_string()),
        ("SHOP_PRIVATE_PORTS", (ports.base() / 100 + 10).to_string()),
        ("SHOP_SETTINGS", home.path().join(SETTINGS).display().to_string()),
    ];
    let profiles = faults::are_wanted().then(|| ("COMPOSE_PROFILES", FAULTS_PROFILE.to_owned()));
    let variables = variables.into_iter().chain(profiles);
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value)).collect();
    let image = std::env::var_os(IMAGE).unwrap_or_else(|| OWN_IMAGE.into());
    if !engine::has_image(&image) {
        step.note("building the image from source: once for each version, 15 minutes on two cores");
    }
    // Whatever the gateway depends on comes with it.
    let services: &[&str] = if has_telemetry { &[] } else { &["gateway"] };
    project.up(&variables, services)?;
    let stack = record(home, project, ports, has_telemetry)?;
    step.done("are healthy");
    Ok(stack)
}

/// Fetches the secrets into the home, and makes the record of the stack.
fn record(
    home: &Home,
    project: &ComposeProject,
    ports: Ports,
    has_telemetry: bool,
) -> anyhow::Result<Stack> {
    project.copy("keys", SECRETS, home.path()).context("cannot fetch the stack's secrets")?;
    let passwords = Passwords::read(home.path())?;
    let telemetry = [PROMETHEUS, JAEGER].into_iter().filter(|_| has_telemetry);
    let names = ["postgres", "kafka"].into_iter().chain(OURS).chain(telemetry);
    Ok(Stack {
        phase: StackPhase::Ready,
        backend: Backend::Compose,
        base_port: ports.base(),
        supervisor: 0,
        data: PathBuf::from(format!("{}_postgres", project.name)),
        password: passwords.postgres,
        role_passwords: passwords.roles,
        project: Some(project.clone()),
        processes: names.map(|name| ProcessState::new(name, ports)).collect(),
    })
}

/// What is said for one process alone wins over what the compose file says. Without Prometheus and
/// Jaeger, nobody is told where they are.
fn override_of(overrides: &Overrides, has_telemetry: bool) -> Value {
    let mut services = serde_json::Map::new();
    for name in OURS {
        let mut environment = serde_json::Map::new();
        if !has_telemetry {
            for setting in ["SHOP_OTLP_ENDPOINT", "SHOP_PROMETHEUS_URL", "SHOP_JAEGER_URL"] {
                environment.insert(setting.to_owned(), Value::Null);
            }
        }
        for (setting, value) in overrides.of(name) {
            // Compose would take a dollar for the beginning of a variable.
            environment.insert(format!("SHOP_{setting}"), value.replace('$', "$$").into());
        }
        services.insert(name.to_owned(), json!({ "environment": environment }));
    }
    json!({ "services": services })
}

/// What is said for all processes, as a file of variables.
fn settings(overrides: &Overrides) -> anyhow::Result<String> {
    let mut text = String::new();
    let shared = overrides.shared().iter();
    for (name, value) in shared.filter(|(name, _)| !NOT_SETTINGS.contains(&&**name)) {
        ensure!(!value.contains(['\'', '\n']), "{name} has a quote or a line's end");
        text.extend([name, "='", value, "'\n"]);
    }
    Ok(text)
}

/// Fetches the file of what the stack's sink took, out of its volume into the home.
pub fn fetch_messages(project: &ComposeProject, home: &Path) -> anyhow::Result<()> {
    let file = home.join("messages.jsonl");
    // A sink that has taken nothing yet has no file.
    fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
    project.copy("smtp-sink", "/data/messages.jsonl", &file).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(said: &[(&str, &str)]) -> Overrides {
        let said = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Overrides::from_variables(said)
    }

    #[test]
    fn what_is_said_for_all_and_for_one_process_reaches_its_containers() {
        let said = overrides(&[
            ("SHOP_PAYMENT_DEADLINE", "9s"),
            ("SHOP_TOKEN", "secret"),
            ("SHOP_ORDER_SVC__PAYMENT_DEADLINE", "2s"),
            ("SHOP_GATEWAY__CORS_ORIGINS", "a$b"),
        ]);

        assert_eq!(settings(&said).unwrap(), "SHOP_PAYMENT_DEADLINE='9s'\n");
        let services = &override_of(&said, true)["services"];
        let order_svc = json!({"environment": {"SHOP_PAYMENT_DEADLINE": "2s"}});
        assert_eq!(services["order-svc"], order_svc);
        assert_eq!(services["gateway"]["environment"]["SHOP_CORS_ORIGINS"], "a$$b");
        assert!(settings(&overrides(&[("SHOP_LOG", "it's")])).is_err());
    }

    #[test]
    fn every_process_of_ours_is_a_container_and_is_looked_at() {
        let file = include_str!("../../deploy/compose.yaml");
        let targets = include_str!("../../deploy/prometheus/containers/targets.json");
        let ports = Ports::from(PORT).unwrap();
        for name in OURS {
            assert!(file.contains(&format!("\n  {name}:\n")), "{name} is no container");
            let target = format!("{name}:{}", ports.private(name).unwrap());
            assert!(targets.contains(&target), "{target} is looked at by nobody");
        }
    }

    #[test]
    fn the_compose_file_names_the_image_of_this_version() {
        let file = include_str!("../../deploy/compose.yaml");
        assert!(file.contains(&format!("image: ${{{IMAGE}:-{OWN_IMAGE}}}\n")), "{OWN_IMAGE}");
    }

    #[test]
    fn without_telemetry_nobody_is_told_where_it_is() {
        let services = &override_of(&overrides(&[]), false)["services"];
        assert!(services["gateway"]["environment"].get("SHOP_JAEGER_URL").unwrap().is_null());
    }
}
