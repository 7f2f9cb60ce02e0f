//! What stands before every handler: who calls, and whether they may.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use proto::{Access, api};

use super::{
    Caller,
    claims::ClaimFault,
    key_source::KeySource,
    settings::{IdentitySettings, KeyLocation},
    verifier::{TokenFault, Verifier},
};
use crate::{
    health::Health,
    http::Handler,
    metrics::{self, IdentityRefusal},
    problem::{Code, Problem},
    tasks::Tasks,
};

/// Lets a request through to its handler once it is known who sends it and that they may. Cheap to
/// clone.
#[derive(Clone)]
pub struct Guard(Option<Arc<Verifier>>);

/// A handler behind a guard.
#[derive(Clone)]
pub struct GuardedHandler<S> {
    guard: Guard,
    handler: S,
}

impl Guard {
    /// The guard of a process: fetches keys as its task `identity`, and shows in its health whether
    /// that works.
    pub async fn start(
        settings: &IdentitySettings,
        tasks: &mut Tasks,
        health: &Health,
    ) -> anyhow::Result<Self> {
        if settings.jwks == KeyLocation::Off {
            tracing::warn!(
                service = health.service(),
                "identity is off: every caller is trusted to do everything; let no stranger in"
            );
            return Ok(Self::off());
        }
        let source = Arc::new(KeySource::new(settings)?);
        // A shop that starts while its issuer is away begins to work when that is back.
        let is_fetched = source.fetch().await;
        let watched = Arc::clone(&source);
        health.notice_known("identity", move || watched.fault());
        tasks.spawn("identity", {
            let source = Arc::clone(&source);
            move |stop| source.run(is_fetched, stop)
        });
        Ok(Self(Some(Arc::new(Verifier::new(source, settings.rules())))))
    }

    /// Trusts everyone: for tests, and for a shop that no stranger reaches.
    pub fn off() -> Self {
        Self(None)
    }

    /// Puts the guard before `handler`.
    pub fn protect<S: Handler>(&self, handler: S) -> GuardedHandler<S> {
        GuardedHandler { guard: self.clone(), handler }
    }

    /// The keys that tokens are verified with, as a JWK set of their public halves.
    pub fn key_set(&self) -> Option<String> {
        let (keys, _) = self.0.as_ref()?.source.current()?;
        Some(keys.public.clone())
    }

    /// The request with its [`Caller`], once it is known that they may do what they ask for.
    pub async fn admit(&self, request: Request) -> Result<Request, Problem> {
        let (mut parts, body) = request.into_parts();
        // What is outside the API (pages, documents) is for everyone.
        if parts.uri.path().starts_with("/v1/") {
            let caller = self.caller(&parts.method, parts.uri.path(), &parts.headers).await?;
            parts.extensions.insert(caller);
        }
        Ok(Request::from_parts(parts, body))
    }

    async fn caller(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        let access = access(method, path)?;
        let Some(verifier) = &self.0 else { return Ok(Caller::anonymous()) };
        let Some(token) = bearer(headers)? else {
            if access == Access::Open {
                return Ok(Caller::unknown());
            }
            return Err(unauthenticated("this needs a token: Authorization: Bearer …", ""));
        };
        let caller = verifier.verify(token).await.map_err(refused)?;
        let reads = method == Method::GET || method == Method::HEAD;
        if !access.permits(caller.roles(), reads) {
            metrics::refused(IdentityRefusal::Forbidden);
            return Err(Problem::new(Code::Forbidden, "the caller has no role that may do this"));
        }
        Ok(caller)
    }
}

impl<S: Handler> Handler for GuardedHandler<S> {
    async fn answer(&mut self, request: Request) -> Response {
        match self.guard.admit(request).await {
            Ok(request) => self.handler.answer(request).await,
            Err(problem) => problem.into_response(),
        }
    }
}

/// Who may use a path; what is not in the table of the API is not there.
fn access(method: &Method, path: &str) -> Result<Access, Problem> {
    let route =
        api::find(path).ok_or_else(|| Problem::not_found(format!("nothing is at {path}")))?;
    route.access(method.as_str()).ok_or_else(|| Problem::wrong_method(&route.allowed()))
}

/// The token of a request (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if values.next().is_none() => Ok(Some(token)),
        _ => Err(unauthenticated("Authorization has to be one Bearer token", "invalid_request")),
    }
}

fn refused(fault: TokenFault) -> Problem {
    let reason = match fault {
        TokenFault::NoKeys => IdentityRefusal::NoKeys,
        TokenFault::Claim(ClaimFault::Expired) => IdentityRefusal::Expired,
        _ => IdentityRefusal::Invalid,
    };
    metrics::refused(reason);
    match fault {
        TokenFault::NoKeys => Problem::new(Code::Overloaded, fault.to_string()).retry_after(1),
        TokenFault::Claim(ClaimFault::Expired) => {
            challenged(Problem::new(Code::TokenExpired, fault.to_string()), "invalid_token")
        }
        fault => unauthenticated(fault.to_string(), "invalid_token"),
    }
}

fn unauthenticated(detail: impl Into<std::borrow::Cow<'static, str>>, error: &str) -> Problem {
    challenged(Problem::new(Code::Unauthenticated, detail), error)
}

/// Adds the challenge (RFC 6750 §3): without an error where no token was sent.
fn challenged(problem: Problem, error: &str) -> Problem {
    let challenge = match error {
        "" => "Bearer realm=\"shop\"".to_owned(),
        error => format!("Bearer realm=\"shop\", error=\"{error}\""),
    };
    let challenge = HeaderValue::try_from(challenge).expect("plain words are a header's value");
    problem.header(header::WWW_AUTHENTICATE, challenge)
}
