//! Questions to Prometheus and Jaeger, where there are any: they tell pages, and nothing depends
//! on them.

use std::{fmt, time::Duration};

use anyhow::Context;
use chassis::{Code, Problem};
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;

/// How long an answer may take: a person waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Larger than the trace of any order.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Prometheus or Jaeger, as its HTTP API is reached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Observer {
    name: &'static str,
    url: Url,
    client: Client,
}

impl Observer {
    /// The one at `url`, of this name.
    pub(crate) fn new(name: &'static str, url: &Url) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(PATIENCE).build();
        Ok(Self { name, url: url.clone(), client: client.context("cannot make a client")? })
    }

    /// What it answers to a GET of `path`, with these parameters. `None` where it knows nothing.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Problem> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut answer =
            self.client.get(url).send().await.map_err(|error| self.silent(&error.without_url()))?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(self.silent(&format!("it answers {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|error| self.silent(&error.without_url()))?
        {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(self.silent(&"its answer is too large"));
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map(Some).map_err(|error| self.silent(&error))
    }

    fn silent(&self, why: &dyn fmt::Display) -> Problem {
        tracing::debug!(observer = self.name, reason = %why, "an observer tells nothing");
        Problem::new(Code::Overloaded, format!("{} does not answer", self.name)).retry_after(5)
    }
}
