//! One program of the shop, by itself: no supervisor, and the settings that a test gives it.

use std::{
    path::PathBuf,
    process::{Child, ExitStatus},
    time::Duration,
};

use backends::{Watchdog, machine::free_ports, testing::eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::{WITHIN, programs};

/// A process that runs until it is dropped.
#[derive(Debug)]
pub struct LoneProcess {
    name: &'static str,
    pub port: u16,
    admin: u16,
    log: PathBuf,
    child: Child,
    _watchdog: Watchdog,
}

impl LoneProcess {
    /// Starts a program; it need not become ready.
    pub fn start(name: &'static str, settings: &[(&str, String)]) -> Self {
        let [port, admin] = free_ports().unwrap();
        let log = backends::testing::file("");
        let own = [("SHOP_PORT", port.to_string()), ("SHOP_ADMIN_PORT", admin.to_string())];
        let all = settings.iter().cloned().chain(own);
        let all: Vec<_> = all.map(|(name, value)| (name.to_owned(), value)).collect();
        let child = programs::spawn(name, &all, &log);
        let watchdog = Watchdog::start(None).unwrap();
        watchdog.watch(child.id(), Signal::KILL);
        Self { name, port, admin, log, child, _watchdog: watchdog }
    }

    /// What its private listener says of its state: whether it is ready, and the problems.
    pub async fn readiness(&self) -> Result<(bool, Value), String> {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin);
        let asked = reqwest::Client::new().get(url).timeout(Duration::from_secs(5)).send().await;
        let answer = asked.map_err(|error| error.to_string())?;
        let is_ready = answer.status() == 200;
        let mut body: Value = answer.json().await.map_err(|error| error.to_string())?;
        Ok((is_ready, body["problems"].take()))
    }

    /// Waits until it is ready and has no problem but with what is named.
    pub async fn is_well(&self, but: &[&str]) {
        eventually(&format!("{} to be well", self.name), WITHIN, async || {
            let (is_ready, problems) = self.readiness().await?;
            let known = problems
                .as_object()
                .is_none_or(|all| all.keys().all(|problem| but.contains(&problem.as_str())));
            let seen = format!("{problems}\n{}", self.log());
            if is_ready && known { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Waits until it tells of a problem in these words.
    pub async fn tells(&self, problem: &str, words: &str) {
        eventually(&format!("{} to tell: {words}", self.name), WITHIN, async || {
            let (_, problems) = self.readiness().await?;
            let said = problems[problem].as_str().unwrap_or_default();
            let seen = format!("{problems}\n{}", self.log());
            if said.contains(words) { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until it has ended by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        eventually(&format!("{} to end", self.name), WITHIN, || {
            std::future::ready(self.child.try_wait().unwrap().ok_or("it runs"))
        })
        .await
    }
}

impl Drop for LoneProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
