//! A simulator for one test: a process of its own, with its own port and file.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// A file that no other test has.
pub(crate) fn fresh_file() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("simulator");
    let file = folder.join(format!("{}-{count}.jsonl", std::process::id()));
    // Process ids come again and files stay, so an old file of this name is removed.
    drop(std::fs::remove_file(&file));
    file
}

pub(crate) fn order(number: u32) -> String {
    Uuid::from_u128(0x0193_2c1e_7b5a_7c3d_8e4f_0000_0000_0000 + u128::from(number)).to_string()
}

pub(crate) fn a_charge(key: &str, token: &str) -> Value {
    json!({"idempotency_key": key, "order_id": order(1), "amount": "59.98", "currency": "USD",
           "token": token})
}

pub(crate) struct Simulator {
    process: Child,
    url: String,
    client: reqwest::Client,
}

impl Simulator {
    pub(crate) fn start(file: &Path) -> Self {
        Self::try_start(file).expect("the simulator starts")
    }

    /// `None` if the process ended without listening.
    pub(crate) fn try_start(file: &Path) -> Option<Self> {
        Self::try_start_with(file, &[])
    }

    /// With settings of its own.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        Self::try_start_with(&fresh_file(), settings).expect("the simulator starts")
    }

    fn try_start_with(file: &Path, settings: &[&str]) -> Option<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .args(["--port", "0", "--admin-port", "0", "--slow", "300ms", "--ledger"])
            .arg(file)
            .args(settings)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let url = log.find_map(|line| {
            let line = line.unwrap();
            line.contains("listens service=").then(|| {
                let (_, host) = line.split_once("http://").unwrap();
                let host: String =
                    host.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
                format!("http://{host}")
            })
        });
        let Some(url) = url else {
            process.wait().unwrap();
            return None;
        };
        // A full pipe would stop the process.
        thread::spawn(move || log.for_each(drop));
        Some(Self { process, url, client: reqwest::Client::new() })
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        self.client.post(format!("{}{path}", self.url)).json(body).send().await
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> TestResponse {
        let request = self.client.post(format!("{}{path}", self.url));
        told(request.header("Idempotency-Key", key).json(body).send().await.unwrap()).await
    }

    /// Sends a request that has to be answered, and returns the answer.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> TestResponse {
        told(self.post(path, body).await.unwrap()).await
    }

    /// A request that the test completes.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        told(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    /// Ends the process with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Fails after `kill`, when the process is gone.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

impl TestResponse {
    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

pub(crate) async fn told(response: Response) -> TestResponse {
    let status = response.status();
    let replayed = ["idempotency-replayed", "idempotent-replayed"]
        .iter()
        .any(|name| response.headers().contains_key(*name));
    TestResponse { status, replayed, body: response.json().await.unwrap() }
}
