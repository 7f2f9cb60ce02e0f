//! Whether a process of the stack works: the answer of its own health endpoint.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use backends::kafka;
use sqlx::{Connection as _, PgConnection};

use crate::{
    Stack,
    processes::{FAULTS, JAEGER, PROMETHEUS},
};

/// How long an answer may take: a process that takes longer is not healthy.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// `Ok` if the process is healthy; otherwise what is wrong.
pub async fn check(name: &str, stack: &Stack) -> anyhow::Result<()> {
    let ports = stack.ports()?;
    let url = match name {
        "postgres" => {
            let url = stack.database_as_superuser("postgres");
            let answers = async { PgConnection::connect(&url).await?.close().await };
            return Ok(tokio::time::timeout(ANSWER_MAX, answers).await??);
        }
        "kafka" => {
            let port = ports.kafka();
            return tokio::task::spawn_blocking(move || kafka::answers(port)).await?;
        }
        JAEGER => format!("http://127.0.0.1:{}/status", ports.jaeger_health()),
        PROMETHEUS => format!("{}/-/ready", stack.service(name)?),
        FAULTS => format!("{}/proxies", stack.service(name)?),
        // The port of the sink speaks SMTP.
        "outbox-relay" | "smtp-sink" => format!("{}/readyz", stack.private(name)?),
        _ => format!("{}/health", stack.service(name)?),
    };
    answers(&url).await
}

/// `Ok` if the URL answers well.
pub async fn answers(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    let answer = client.get(url).send().await.context("no answer")?;
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    Ok(())
}
