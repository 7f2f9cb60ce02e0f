//! Where keys come from, and how long they are believed.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    keys::KeySet,
    settings::{IdentitySettings, KeyLocation, is_private},
};

/// How long an issuer may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A key set is a few kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Pause after a failed refresh.
const RETRY: Duration = Duration::from_secs(5);
/// A file is cheap to read, so a change of it is seen soon.
const FILE_REFRESH: Duration = Duration::from_secs(5);
/// Least time between two refreshes that tokens with an unknown key ask for: strangers choose how
/// many of those there are.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
const UNKNOWN_PAUSE_FILE: Duration = Duration::from_secs(1);

const FAULT: &str = "the keys of tokens could not be fetched";

/// The keys as they were last fetched. Keys outlive an issuer that is away, for a while.
pub(super) struct KeySource {
    location: KeyLocation,
    http: Client,
    refresh: Duration,
    stale: Duration,
    unknown_pause: Duration,
    state: RwLock<State>,
    /// When a token with an unknown key last led to a refresh; locked while one is under way.
    asked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    keys: Arc<KeySet>,
    /// Counts the changes of the set: what was verified with an older one is verified again.
    generation: u64,
    fetched: Option<Instant>,
    fault: Option<String>,
}

impl KeySource {
    pub(super) fn new(settings: &IdentitySettings) -> anyhow::Result<Self> {
        let is_file = matches!(settings.jwks, KeyLocation::File(_));
        let http =
            Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).build()?;
        Ok(Self {
            location: settings.jwks.clone(),
            http,
            refresh: if is_file { FILE_REFRESH } else { settings.jwks_refresh },
            stale: settings.jwks_stale,
            unknown_pause: if is_file { UNKNOWN_PAUSE_FILE } else { UNKNOWN_PAUSE },
            state: RwLock::default(),
            asked: Mutex::default(),
        })
    }

    /// The keys and their generation, unless they were never fetched, or too long ago.
    pub(super) fn current(&self) -> Option<(Arc<KeySet>, u64)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.fetched.filter(|at| at.elapsed() <= self.stale)?;
        Some((Arc::clone(&state.keys), state.generation))
    }

    /// What is wrong with the last refresh.
    pub(super) fn fault(&self) -> Option<String> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }

    /// Fetches the keys because a token names one that is not known; at most once in a while. Those
    /// who come meanwhile wait for the same answer.
    pub(super) async fn refresh_for_unknown(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= self.unknown_pause) {
            self.fetch_alone().await;
            *asked = Some(Instant::now());
        }
    }

    /// Fetches the keys, and keeps those that were there if that fails. One fetch at a time, so
    /// that no older answer replaces a newer one.
    pub(super) async fn fetch(&self) -> bool {
        let _turn = self.asked.lock().await;
        self.fetch_alone().await
    }

    async fn fetch_alone(&self) -> bool {
        let fetched = self.read().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                if keys.text != state.keys.text {
                    state.generation += 1;
                    state.keys = Arc::new(keys);
                }
                state.fetched = Some(Instant::now());
                state.fault = None;
                true
            }
            Err(error) => {
                if state.fault.is_none() {
                    tracing::warn!(error = &*error as &dyn std::error::Error, "{FAULT}");
                }
                state.fault = Some(format!("{FAULT}: {error:#}"));
                false
            }
        }
    }

    /// Fetches the keys again and again until `stop`; they were fetched just now, or could not be.
    pub(super) async fn run(
        self: Arc<Self>,
        mut is_fetched: bool,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let pause = if is_fetched { self.refresh } else { RETRY };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
            is_fetched = self.fetch().await;
        }
    }

    async fn read(&self) -> anyhow::Result<KeySet> {
        let text = match &self.location {
            KeyLocation::Off => String::new(),
            KeyLocation::File(path) => tokio::fs::read_to_string(path).await?,
            KeyLocation::Url(url) => self.key_set(url).await?,
        };
        Ok(KeySet::parse(&text)?)
    }

    /// The key set that an address leads to: it is the set's own, a discovery document's, or the
    /// issuer's, which has its document below it.
    async fn key_set(&self, url: &Url) -> anyhow::Result<String> {
        let document = if let Some(document) = self.look(url).await? {
            document
        } else {
            let below = discovery(url);
            let (at, under) = (shown(url), shown(&below));
            let why = || format!("neither {at} nor {under} is a key set or a discovery document");
            self.look(&below).await?.with_context(why)?
        };
        match document {
            KeyDocument::Set(text) => Ok(text),
            KeyDocument::Discovery(keys) => text(self.ask(&keys).await?.error_for_status()?).await,
        }
    }

    /// What an address has of keys. `None` if it has something else, or there is no such address;
    /// an issuer that is away is a fault, as it may have keys.
    async fn look(&self, url: &Url) -> anyhow::Result<Option<KeyDocument>> {
        let response = self.ask(url).await?;
        let status = response.status();
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(None);
        }
        Ok(KeyDocument::read(text(response.error_for_status()?).await?))
    }

    async fn ask(&self, url: &Url) -> reqwest::Result<Response> {
        self.http.get(url.clone()).send().await
    }
}

/// What leads to keys.
enum KeyDocument {
    /// A JWK set.
    Set(String),
    /// A discovery document (`OpenID` Connect Discovery 1.0 §3), which says where the set is.
    Discovery(Url),
}

impl KeyDocument {
    fn read(text: String) -> Option<Self> {
        let document: Value = serde_json::from_str(&text).ok()?;
        if document.get("keys").is_some() {
            return Some(Self::Set(text));
        }
        let keys: Option<Url> = document.get("jwks_uri")?.as_str()?.parse().ok();
        keys.filter(is_private).map(Self::Discovery)
    }
}

/// Where an issuer has its discovery document (§4.1).
fn discovery(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// An address without the password that it may have, for messages.
fn shown(url: &Url) -> Url {
    let mut shown = url.clone();
    // An address that can have none refuses to lose it.
    shown.set_password(None).and_then(|()| shown.set_username("")).ok();
    shown
}

async fn text(mut response: Response) -> anyhow::Result<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        anyhow::ensure!(body.len() <= ANSWER_BYTES_MAX, "the answer is too long");
    }
    Ok(String::from_utf8(body)?)
}
