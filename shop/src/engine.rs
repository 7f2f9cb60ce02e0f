//! A stack in containers, seen through the engine's own command line, which knows where the engine
//! is.

use std::{
    ffi::OsStr,
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// What is asked of a container: its service, the process on this machine, how often it was started
/// again.
const STATE: &str =
    r#"{{index .Config.Labels "com.docker.compose.service"}} {{.State.Pid}} {{.RestartCount}}"#;

/// What is asked for a container's address in the one network that the stack has.
const ADDRESS: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";

/// The containers of one stack, by the name under which the engine knows them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComposeProject {
    pub name: String,
    /// deploy/compose.yaml, and what the stack's home changes in it.
    pub files: Vec<PathBuf>,
}

/// A container as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    pub service: String,
    /// The process on this machine, while it runs.
    pub pid: Option<u32>,
    /// How often the engine has started it again.
    pub restarts: u32,
}

/// An error unless an engine answers, and Compose with it.
pub fn answers() -> anyhow::Result<()> {
    said(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))?;
    said(Command::new("docker").args(["compose", "version", "--short"])).map(drop)
}

/// Whether the engine has an image.
pub fn has_image(tag: &OsStr) -> bool {
    said(Command::new("docker").args(["image", "inspect"]).arg(tag)).is_ok()
}

impl ComposeProject {
    /// Starts what does not run, and waits until all of it is healthy; `variables` are those of the
    /// compose file.
    pub fn up(&self, variables: &[(String, String)], services: &[&str]) -> anyhow::Result<()> {
        let mut command = self.compose();
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.args(["--progress", "quiet"]);
        command.args(["up", "--detach", "--wait", "--wait-timeout", "300"]).args(services);
        // What Compose says of an image that it pulls or builds is for whoever waits.
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        ensure!(ended.context("cannot run docker")?.success(), "the containers do not come up");
        Ok(())
    }

    /// Stops and removes the containers; `fresh` forgets the volumes, too, and waits for nothing to
    /// be finished.
    pub fn down(&self, fresh: bool) -> anyhow::Result<()> {
        let mut command = self.compose();
        command.args(["--profile", "*", "--progress", "quiet", "down", "--remove-orphans"]);
        if fresh {
            command.args(["--volumes", "--timeout", "0"]);
        }
        // In a group of its own: it comes to its end though whoever asked for it is killed.
        said(command.process_group(0)).map(drop)
    }

    /// The containers of these services that there are.
    pub fn containers<'a>(
        &self,
        services: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<Vec<ContainerState>> {
        let names = services.map(|service| self.container(service));
        let mut command = Command::new("docker");
        command.args(["container", "inspect", "--format", STATE]).args(names);
        // The command fails when one of them is not there, and tells of the others.
        let output = output(&mut command)?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: Vec<_> = lines.lines().filter_map(parse).collect();
        ensure!(!found.is_empty(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
        Ok(found)
    }

    /// What a service has written to its log since its container was made.
    pub fn log(&self, service: &str) -> anyhow::Result<String> {
        let output = said(Command::new("docker").arg("logs").arg(self.container(service)))?;
        Ok([output.stdout, output.stderr]
            .map(|it| String::from_utf8_lossy(&it).into_owned())
            .concat())
    }

    /// Where a service is on the containers' own network. The engine's forwarding takes connections
    /// for a container that is down, too, and closes them.
    pub fn address(&self, service: &str) -> anyhow::Result<IpAddr> {
        let mut command = Command::new("docker");
        command.args(["container", "inspect", "--format", ADDRESS]).arg(self.container(service));
        let address = String::from_utf8_lossy(&said(&mut command)?.stdout).trim().to_owned();
        address.parse().with_context(|| format!("{service} has no address: {address}"))
    }

    /// Copies a file or a folder out of a container, which need not run.
    pub fn copy(&self, service: &str, from: &str, to: &Path) -> anyhow::Result<()> {
        let from = format!("{}:{from}", self.container(service));
        said(Command::new("docker").args(["cp", &from]).arg(to)).map(drop)
    }

    /// The container of a service: there is one of each.
    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.name)
    }

    fn compose(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["compose", "--project-name", &self.name]);
        let files = self.files.iter().flat_map(|file| [OsStr::new("--file"), file.as_os_str()]);
        command.args(files);
        command
    }
}

fn parse(line: &str) -> Option<ContainerState> {
    let mut words = line.split(' ');
    let service = words.next()?.to_owned();
    let pid = words.next()?.parse().ok()?;
    let restarts = words.next()?.parse().ok()?;
    Some(ContainerState { service, pid: (pid > 0).then_some(pid), restarts })
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).output().context("cannot run docker")
}

fn said(command: &mut Command) -> anyhow::Result<Output> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_does_not_run_has_no_process() {
        let state =
            |pid, restarts| Some(ContainerState { service: "order-svc".to_owned(), pid, restarts });
        assert_eq!(parse("order-svc 4711 2"), state(Some(4711), 2));
        assert_eq!(parse("order-svc 0 3"), state(None, 3));
        assert_eq!(parse(""), None);
    }
}
