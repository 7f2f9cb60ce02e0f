//! The servers of tests in containers, where `SHOP_BACKEND` says so.
//!
//! A container takes part in this machine's network: a port that an engine publishes would be open
//! to other machines, and a broker has to know its address before it starts. Its data is a folder of
//! this machine, so a server that was killed is started again as another container on the same data.
//! The engine removes a container when its process ends, and that ends with the test's.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{FutureExt as _, future::BoxFuture};
use rustix::process::{Pid, Signal, test_kill_process};
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _,
    core::{Mount, client::docker_client_instance, logs::LogFrame},
    runners::AsyncRunner as _,
};

use crate::{
    Watchdog,
    kafka::{KafkaConfig, PROPERTIES},
    postgres::PostgresConfig,
    server::{LOOK, Server, ServerProcess, open_log, send},
};

/// The images of `deploy/compose.yaml`: name and tag.
const POSTGRES: (&str, &str) = ("postgres", "17.11");
const KAFKA: (&str, &str) = ("apache/kafka", "4.3.1");

/// Where Kafka's image looks for a `server.properties`; the broker's logs are beside it.
const KAFKA_FOLDER: &str = "/mnt/shared/config";

/// The longest time in which a killed process is gone.
const KILL_MAX: Duration = Duration::from_secs(10);

/// A container whose process is known.
#[derive(Debug)]
struct Container {
    pid: Pid,
    /// Removes the container when it is dropped.
    _container: ContainerAsync<GenericImage>,
}

impl ServerProcess for Container {
    fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let is_gone = test_kill_process(self.pid).is_err();
        Ok(is_gone.then(|| "its container is gone".to_owned()))
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        send(ServerProcess::pid(self), Signal::KILL);
        let start = Instant::now();
        while self.ended()?.is_none() {
            ensure!(start.elapsed() < KILL_MAX, "the container does not end");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Starts PostgreSQL in a container.
pub(super) fn postgres<'a>(
    config: &'a PostgresConfig,
    watchdog: &'a Arc<Watchdog>,
) -> BoxFuture<'a, anyhow::Result<Server>> {
    async move {
        let settings = config
            .settings()
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
        let wanted = request(POSTGRES, &config.data, "/var/lib/postgresql/data", &config.log)?
            .with_env_var("POSTGRES_PASSWORD", &config.password)
            .with_env_var(
                "POSTGRES_INITDB_ARGS",
                "--encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256",
            )
            .with_cmd(["postgres".to_owned()].into_iter().chain(settings));
        start("postgres", wanted, &config.log, (watchdog, Signal::QUIT)).await
    }
    .boxed()
}

/// Starts Kafka in a container.
pub(super) fn kafka<'a>(
    config: &'a KafkaConfig,
    watchdog: &'a Arc<Watchdog>,
) -> BoxFuture<'a, anyhow::Result<Server>> {
    async move {
        let wanted = request(KAFKA, &config.data, KAFKA_FOLDER, &config.log)?
            // The data folder is this user's.
            .with_user("0:0")
            .with_env_var("KAFKA_HEAP_OPTS", config.java.join(" "))
            .with_env_var("KAFKA_JVM_PERFORMANCE_OPTS", "-Djava.awt.headless=true");
        let properties = config.properties(&format!("{KAFKA_FOLDER}/logs"));
        fs::write(config.data.join(PROPERTIES), properties)?;
        start("kafka", wanted, &config.log, (watchdog, Signal::KILL)).await
    }
    .boxed()
}

/// A container of an image, with its data (a folder that is made here) at `target`, that writes to a
/// log.
fn request(
    (name, tag): (&str, &str),
    data: &Path,
    target: &str,
    log: &Path,
) -> anyhow::Result<ContainerRequest<GenericImage>> {
    let log = open_log(log)?;
    fs::create_dir_all(data)?;
    let data = data.to_str().context("the folder's name is no text")?;
    Ok(GenericImage::new(name, tag)
        .with_network("host")
        .with_mount(Mount::bind_mount(data, target))
        .with_log_consumer(move |frame: &LogFrame| {
            // A log that cannot be written is missed when a test fails, and not before.
            (&log).write_all(frame.bytes()).ok();
        })
        .with_host_config_modifier(|host| host.auto_remove = Some(true)))
}

async fn start(
    name: &'static str,
    wanted: ContainerRequest<GenericImage>,
    log: &Path,
    under: (&Arc<Watchdog>, Signal),
) -> anyhow::Result<Server> {
    let container = wanted.start().await?;
    let engine = docker_client_instance().await?;
    let known = engine.inspect_container(container.id(), None).await?;
    let pid = known.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).context("the container has ended already")?;
    let running = Container { pid, _container: container };
    Ok(Server::watched(name, Box::new(running), log, under))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_those_of_the_stack_in_containers() {
        let stack = include_str!("../../../deploy/compose.yaml");
        for (name, tag) in [POSTGRES, KAFKA] {
            assert!(stack.contains(&format!("image: {name}:{tag}\n")), "{name}:{tag}");
        }
    }
}
