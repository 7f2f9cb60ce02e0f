//! From a request to a batch and back: what a request brings besides its body, and what its answer becomes.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use chassis::{
    Code, Problem, TraceParent,
    http::{self, IdempotencyKey},
};
use mailbox::{Command, CommandError, Mailbox, Reactor};

/// Until identities come, every caller is trusted and nobody is known.
const CALLER: &str = "anonymous";

/// What a request brings besides its body.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    key: Option<String>,
    trace: TraceParent,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(parts, state).await?;
        let Ok(trace) = TraceParent::from_request_parts(parts, state).await;
        Ok(Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            key,
            trace,
        })
    }
}

impl Call {
    /// Whether the first answer is to be told again: only a POST's is.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some() && self.method == Method::POST
    }

    /// The headers that say which version the caller means to change.
    pub(super) fn conditions(&self) -> HeaderMap {
        let tags = self.headers.get_all(header::IF_MATCH).iter();
        tags.map(|tag| (header::IF_MATCH, tag.clone())).collect()
    }

    /// Hands `input` over and waits for the commit that decides it. Going away cancels nothing.
    pub(super) async fn hand_over<R: Reactor>(
        self,
        mailbox: &Mailbox<R>,
        body: &[u8],
        input: R::Input,
    ) -> Result<Response, Problem> {
        let key = self.has_key().then_some(self.key).flatten();
        let key = key.map(|key| mailbox::IdempotencyKey {
            caller: CALLER.to_owned(),
            route: format!("{} {}", self.method, self.path),
            key,
            fingerprint: http::fingerprint(&self.method, &self.path, body),
        });
        let command = Command { input, key, trace: Some(self.trace.to_bytes()) };
        let outcome = mailbox.submit(command).await.map_err(problem)?;
        let answer = outcome.answer;
        let mut response = http::answer(answer.status, answer.headers, answer.body);
        if outcome.replayed {
            let name = HeaderName::from_static("idempotency-replayed");
            response.headers_mut().insert(name, HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

fn problem(error: CommandError) -> Problem {
    match error {
        CommandError::Overloaded => {
            Problem::new(Code::Overloaded, "no answer before the deadline").retry_after(1)
        }
        CommandError::KeyReused => {
            Problem::new(Code::IdempotencyKeyReused, "the key was used for another request")
        }
        CommandError::Failed => Problem::internal(),
    }
}
