//! Who carries notifications to people: a mail server, or a provider of SMS or push behind a
//! webhook; and the signed requests that those providers and webhooks of events take (`signed`).

use std::time::Duration;

use proto::{NotificationId, limits};

use crate::templates::Text;

pub mod guard;
pub mod signed;
pub mod smtp;
pub mod webhook;

/// One notification on its way.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingMessage<'a> {
    /// The same at every attempt, so that a reader or a provider recognises a second copy.
    pub id: NotificationId,
    pub to: &'a str,
    pub text: &'a Text,
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// The provider will never take it, however often it is asked.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// Trying again may work. The provider may say after how long.
    #[error("the provider did not take it: {why}")]
    Later { why: String, after: Option<Duration> },
}

/// A provider: it takes a notification, and may give it a name of its own.
pub trait Carrier: Send + Sync + 'static {
    /// Hands one notification over; returns the provider's name for it, if it has one.
    fn carry(
        &self,
        message: OutgoingMessage<'_>,
    ) -> impl Future<Output = Result<Option<String>, CarrierError>> + Send;
}

impl CarrierError {
    /// Trying again may work.
    pub(crate) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

/// A text of the provider's, cut to what can be stored.
pub(crate) fn brief(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(limits::TEXT_CHARS_MAX).collect()
}
