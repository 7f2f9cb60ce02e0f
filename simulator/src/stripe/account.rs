//! The account at Stripe: its secret key, the keys that are being asked for, and where its events
//! go.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, header};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{
    events::{self, StripeEvent, WebhookSender},
    objects::StripeError,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const STRIPE_VERSION: &str = "stripe-version";
const KEY_CHARS_MAX: usize = 255;
/// Events that may wait for the webhook; those beyond it are lost.
const EVENTS_MAX: usize = 10_000;

/// An account at Stripe. Cheap to clone.
#[derive(Clone, Default)]
pub struct StripeAccount {
    /// Its secret key; without one, any test key is taken.
    key: Option<Arc<str>>,
    under_way: Arc<Mutex<HashSet<String>>>,
    events: Option<mpsc::Sender<StripeEvent>>,
}

/// A key that is being asked for, until this is dropped.
pub(super) struct UnderWay {
    account: StripeAccount,
    key: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.account.keys().remove(&self.key);
    }
}

impl StripeAccount {
    /// An account with this secret key; without one, any key is taken.
    pub fn new(key: Option<&str>) -> Self {
        Self { key: key.map(Arc::from), ..Self::default() }
    }

    /// Sends the account's events to `url`, signed with `secret`, as long as the sender runs.
    pub fn with_webhook(
        mut self,
        url: &str,
        secret: &str,
    ) -> anyhow::Result<(Self, WebhookSender)> {
        let (events, waiting) = mpsc::channel(EVENTS_MAX);
        self.events = Some(events);
        Ok((self, WebhookSender::new(waiting, url, secret)?))
    }

    /// Whether a request has a key of the account, and a version that can be one.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), StripeError> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
        let key = key.ok_or_else(StripeError::no_key)?;
        let fits = match &self.key {
            Some(own) => key == &**own,
            None => key.starts_with("sk_test_") && key.len() > "sk_test_".len(),
        };
        if !fits {
            return Err(StripeError::wrong_key());
        }
        match headers.get(STRIPE_VERSION).map(|value| value.to_str().unwrap_or_default()) {
            Some(version) if !is_version(version) => Err(StripeError::no_version()),
            Some(_) | None => Ok(()),
        }
    }

    /// Begins a request under `key`, unless another one is under way.
    pub(super) fn enter(&self, key: &str) -> Result<UnderWay, StripeError> {
        if !self.keys().insert(key.to_owned()) {
            return Err(StripeError::key_in_use());
        }
        Ok(UnderWay { account: self.clone(), key: key.to_owned() })
    }

    /// Tells the webhook about an object.
    pub(super) fn tell(&self, kind: &str, object: &Value, at: OffsetDateTime) {
        let Some(events) = &self.events else { return };
        if events.try_send(events::event(kind, object, at)).is_err() {
            tracing::warn!(kind, "an event finds no room among those that wait: it is lost");
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request's idempotency key; a request without one is made each time.
pub(super) fn key_of(headers: &HeaderMap) -> Result<String, StripeError> {
    match headers.get(IDEMPOTENCY_KEY).map(|value| value.to_str().unwrap_or_default()) {
        Some(key) if (1..=KEY_CHARS_MAX).contains(&key.len()) => Ok(key.to_owned()),
        Some(_) => Err(StripeError::invalid("Idempotency-Key", "has 1 to 255 characters")),
        None => Ok(chassis::clock::new_id().to_string()),
    }
}

/// `2024-06-20`, or `2025-03-31.basil`.
fn is_version(text: &str) -> bool {
    let (date, name) = text.split_once('.').unwrap_or((text, "none"));
    let is_date = date.len() == 10
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())
}
