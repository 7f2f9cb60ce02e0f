//! Requests to Stripe: form-encoded, with its secret key and a pinned version, and what its errors
//! mean.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use form_urlencoded::Serializer;
use reqwest::{
    RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    super::{ProviderError, ProviderResult, brief, unknown},
    objects::ErrorObject,
};
use crate::domain::DeclineCode;

/// The version of the API that this file and `objects.rs` were written for; an account's own
/// version may change at any time.
const API_VERSION: HeaderValue = HeaderValue::from_static("2025-03-31.basil");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// An intent with its charge has some kilobytes, a page of refunds some hundred.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The client of one account. It does not print its key.
#[derive(Clone, Debug)]
pub(super) struct Client {
    client: reqwest::Client,
    url: Arc<str>,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The card is declined.
    Declined {
        code: DeclineCode,
        detail: String,
    },
    /// An earlier request with this key is known, and its answer does not say what became of it.
    /// Repeating it brings the same answer.
    Replayed(String),
    Other(ProviderError),
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Declined { detail, .. } => Self::Refused(detail),
            Failure::Replayed(why) => Self::Unknown(why),
            Failure::Other(error) => error,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: ErrorObject,
}

struct Answer {
    status: StatusCode,
    is_replayed: bool,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(url: &str, key: &str, timeout: Duration) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/');
        let parsed = Url::parse(url).context("the address of Stripe is no URL")?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))
            .context("the key of Stripe has characters that no key has")?;
        bearer.set_sensitive(true);
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, bearer), (STRIPE_VERSION, API_VERSION)]);
        let builder = reqwest::Client::builder()
            .timeout(timeout)
            .default_headers(headers)
            // Stripe redirects nowhere, and whoever does must not get the key.
            .redirect(Policy::none());
        // What is asked in the clear is on this machine or beside it.
        let builder = if parsed.scheme() == "http" { builder.no_proxy() } else { builder };
        let client = builder.build().context("could not make the client of Stripe")?;
        Ok(Self { client, url: url.into() })
    }

    /// Asks for a change, which Stripe makes once for each key.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.header(CONTENT_TYPE, FORM).header(IDEMPOTENCY_KEY, key).body(body);
        let answer = send(request).await.map_err(Failure::Other)?;
        if answer.status.is_success() {
            return read(&answer.body).map_err(Failure::Other);
        }
        let said: ErrorBody = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(verdict(answer.status, answer.is_replayed, &said.error))
    }

    /// Reads something. An error of this look-up says nothing about the money, so it is never a
    /// refusal.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> ProviderResult<T> {
        let query = Serializer::new(String::new()).extend_pairs(query).finish();
        let answer = send(self.client.get(format!("{}{path}?{query}", self.url))).await?;
        if answer.status.is_success() {
            return read(&answer.body);
        }
        Err(ProviderError::Unknown(format!("a look-up has status {}", answer.status.as_u16())))
    }
}

async fn send(request: RequestBuilder) -> ProviderResult<Answer> {
    let mut response: Response = request.send().await.map_err(unknown)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unknown)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ProviderError::Unknown("its answer is too large to be one".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    let is_replayed = response.headers().get(REPLAYED).is_some_and(|value| value == "true");
    Ok(Answer { status: response.status(), is_replayed, body })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> ProviderResult<T> {
    // What cannot be read may hold anything, so the error tells the place alone.
    serde_json::from_slice(body).map_err(|error| {
        ProviderError::Unknown(format!("its answer cannot be read from byte {}", error.column()))
    })
}

/// What an answer without success means. A refusal is only what Stripe says in its own form: a
/// proxy's 404 says nothing. Nor do these: Stripe does not know who we are (401, 403), the same key
/// is being asked for (409), it has no time (429), or it has failed (500 and above).
fn verdict(status: StatusCode, is_replayed: bool, said: &ErrorObject) -> Failure {
    let why = brief(&format!("status {} {}", status.as_u16(), said.message));
    let unknown = |why| Failure::Other(ProviderError::Unknown(why));
    match (status.as_u16(), said.kind.as_str()) {
        // The key was used with other parameters: by a build of ours that wrote them otherwise. So
        // that request may have taken the money.
        (400, "idempotency_error") => Failure::Replayed(why),
        (500.., _) if is_replayed => Failure::Replayed(why),
        (401 | 403 | 408 | 409 | 425 | 429, _) => unknown(why),
        (402, "card_error") => Failure::Declined { code: said.decline(), detail: said.detail() },
        (400 | 404, _) if said.is_about_no_card() => {
            Failure::Declined { code: DeclineCode::CardDeclined, detail: said.detail() }
        }
        (400..=499, "invalid_request_error" | "card_error") => {
            Failure::Other(ProviderError::Refused(why))
        }
        _ => unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Meaning {
        Declined,
        Refused,
        Unknown,
        Replayed,
    }

    fn meaning(status: u16, is_replayed: bool, error: &str) -> Meaning {
        let said: ErrorBody = serde_json::from_str(error).unwrap_or_default();
        match verdict(StatusCode::from_u16(status).unwrap(), is_replayed, &said.error) {
            Failure::Declined { .. } => Meaning::Declined,
            Failure::Replayed(_) => Meaning::Replayed,
            Failure::Other(ProviderError::Refused(_)) => Meaning::Refused,
            Failure::Other(ProviderError::Unknown(_)) => Meaning::Unknown,
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_decline_and_from_no_answer() {
        let card = r#"{"error":{"type":"card_error","code":"card_declined"}}"#;
        let invalid = r#"{"error":{"type":"invalid_request_error","code":"amount_too_small"}}"#;
        let no_card = r#"{"error":{"type":"invalid_request_error","code":"resource_missing",
            "param":"payment_method"}}"#;
        let reused = r#"{"error":{"type":"idempotency_error"}}"#;
        let failed = r#"{"error":{"type":"api_error"}}"#;
        for (status, is_replayed, error, wanted) in [
            (402, false, card, Meaning::Declined),
            (402, true, card, Meaning::Declined),
            (400, false, no_card, Meaning::Declined),
            (400, false, invalid, Meaning::Refused),
            (404, false, invalid, Meaning::Refused),
            (400, false, reused, Meaning::Replayed),
            (409, false, reused, Meaning::Unknown),
            (401, false, invalid, Meaning::Unknown),
            (403, false, invalid, Meaning::Unknown),
            (429, false, invalid, Meaning::Unknown),
            (500, false, failed, Meaning::Unknown),
            (500, true, failed, Meaning::Replayed),
            (503, false, "", Meaning::Unknown),
            (301, false, "", Meaning::Unknown),
            (404, false, "<html>not here</html>", Meaning::Unknown),
            (402, false, "", Meaning::Unknown),
        ] {
            assert_eq!(meaning(status, is_replayed, error), wanted, "{status} {error}");
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        let client = Client::new("https://api.stripe.com", "sk_live_canary", Duration::ZERO);
        let printed = format!("{:?}", client.unwrap());
        assert!(!printed.contains("canary"), "{printed}");
    }
}
