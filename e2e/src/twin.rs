//! Second instances of a shop's services, and a gateway before both.

use std::{process::Child, time::Duration};

use backends::{Watchdog, machine::free_ports, server::send, testing::eventually};
use rustix::process::Signal;
use shop::settings;

use crate::{Shop, WITHIN, programs};

/// The services of which there may be several.
pub const SERVICES: [&str; 4] = ["order-svc", "payment-svc", "inventory-svc", "notify-svc"];

/// A process beside the stack's own: another instance of one of its services, or another gateway.
#[derive(Debug)]
pub struct Twin {
    name: &'static str,
    port: u16,
    settings: Vec<(String, String)>,
    folder: std::path::PathBuf,
    child: Option<Child>,
    watchdog: Watchdog,
}

impl Twin {
    /// Starts another instance of `name`, with settings of its own besides the stack's.
    pub async fn start(shop: &Shop, name: &'static str, own: &[(&str, &str)]) -> Self {
        let stack = shop.stack();
        let mut settings = settings::of(name, &stack, stack.ports().unwrap(), shop.home().path());
        let [port, admin] = free_ports().unwrap();
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        settings.extend(own);
        settings.push(("SHOP_PORT".to_owned(), port.to_string()));
        settings.push(("SHOP_ADMIN_PORT".to_owned(), admin.to_string()));
        let folder = shop.home().path().to_owned();
        let watchdog = Watchdog::start(None).unwrap();
        let mut twin = Self { name, port, settings, folder, child: None, watchdog };
        twin.run().await;
        twin
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Asks the process to end, waits until it has, and starts it again.
    pub async fn restart(&mut self) {
        let mut child = self.child.take().unwrap();
        send(child.id(), Signal::TERM);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let status = tokio::time::timeout(WITHIN, ended).await.unwrap().unwrap();
        assert!(status.success(), "{} ended badly: {status}", self.name);
        self.run().await;
    }

    async fn run(&mut self) {
        let log = self.folder.join(format!("twin-{}.log", self.name));
        let child = programs::spawn(self.name, &self.settings, &log);
        self.watchdog.watch(child.id(), Signal::KILL);
        self.child = Some(child);
        let url = format!("http://{}/health", self.address());
        is_healthy(self.name, &url).await;
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits until `/health` at `url` is 200.
pub async fn is_healthy(name: &str, url: &str) {
    eventually(&format!("{name} to be healthy"), WITHIN, async || {
        let asked = reqwest::Client::new().get(url).timeout(Duration::from_secs(5)).send().await;
        match asked {
            Ok(answer) if answer.status() == 200 => Ok(()),
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}
