//! A request on its way into the mailbox, and its answer on the way out.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderName, HeaderValue, Method, header, request::Parts},
    response::Response,
};
use chassis::{
    Caller, Code, Problem, TraceParent,
    body::{Fields, JsonBody},
    http::{self, HttpResult, NoParams, Params},
};
use mailbox::{
    Answer, Command, CommandError, IdempotencyKey, Mailbox, OperatorRequest, Outcome, Reactor,
};
use proto::{CustomerId, OrderId};
use serde::Serialize;

/// Longest path in the route of an idempotency key. The route is indexed, so a longer path is
/// replaced by its hash; no path of a resource that we could have made is nearly as long.
const ROUTE_BYTES_MAX: usize = 512;
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a command needs to know of its request besides the body.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    method: Method,
    path: String,
    caller: Caller,
    key: Result<Option<String>, Code>,
    trace: Option<TraceParent>,
}

impl<S: Sync> FromRequestParts<S> for RequestInfo {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        NoParams::from_request_parts(parts, state).await?;
        let key = http::IdempotencyKeyHeader::from_request_parts(parts, state).await;
        let caller = Caller::from_request_parts(parts, state).await?;
        // Callers without a name share none, or one would find another's answer.
        let key = key.map(|key| key.0.filter(|_| !caller.subject().is_empty()));
        Ok(Self {
            method: parts.method.clone(),
            path: compared(parts.uri.path()),
            caller,
            key: key.map_err(|problem| problem.code()),
            trace: parts.extensions.get::<TraceParent>().copied(),
        })
    }
}

impl RequestInfo {
    /// Who sent the request.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The command for `input`, whatever key the request has: for methods that keep no answer.
    pub fn command_without_key<I>(&self, input: I) -> Command<I> {
        Command { trace: self.trace.map(TraceParent::to_bytes), ..Command::new(input) }
    }
}

/// A request with a body, which becomes a command.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    head: RequestInfo,
    body: JsonBody,
}

impl<S: Sync> FromRequest<S> for CommandRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let head = RequestInfo::from_request_parts(&mut parts, state).await?;
        let body = JsonBody::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self { head, body })
    }
}

impl CommandRequest {
    /// Who sent the request.
    pub fn caller(&self) -> &Caller {
        &self.head.caller
    }

    /// Reads the body; see [`chassis::body::read`].
    pub fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
        self.body.read(read)
    }

    /// Reads the body; a missing one counts as `{}`.
    pub fn read_optional<T>(
        &self,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Result<T, Problem> {
        self.body.read_optional(read)
    }

    /// The command for `input`, whatever key the request has: for methods that keep no answer.
    pub fn command_without_key<I>(&self, input: I) -> Command<I> {
        self.head.command_without_key(input)
    }

    /// The command for `input`, under the request's idempotency key if it has one.
    pub fn command<I>(&self, input: I) -> Result<Command<I>, Problem> {
        Ok(Command { key: self.key()?, ..self.command_without_key(input) })
    }

    /// What an operator asks for with this request.
    pub(crate) fn operator<'a>(
        &'a self,
        reason: &'a str,
        key: Option<&'a IdempotencyKey>,
    ) -> OperatorRequest<'a> {
        OperatorRequest { caller: self.caller().subject(), reason, key }
    }

    /// The request's idempotency key, if it has one, with the fingerprint of the request.
    pub fn key(&self) -> Result<Option<IdempotencyKey>, Problem> {
        let RequestInfo { method, path, caller, key, .. } = &self.head;
        let key = key.clone().map_err(|code| {
            Problem::new(
                code,
                "an Idempotency-Key has 1 to 255 visible ASCII characters, and there is one",
            )
        })?;
        Ok(key.map(|key| IdempotencyKey {
            caller: caller.subject().to_owned(),
            route: route(method, path),
            key,
            fingerprint: http::fingerprint(method, path, &self.body.0),
        }))
    }
}

/// The path to which a key is bound: the same for every percent-encoding of it.
fn compared(path: &str) -> String {
    http::decoded_path(path).unwrap_or(Cow::Borrowed(path)).into_owned()
}

fn route(method: &Method, path: &str) -> String {
    if path.len() <= ROUTE_BYTES_MAX {
        return format!("{method} {path}");
    }
    let hash = http::fingerprint(method, path, b"");
    hash.iter().fold(format!("{method} sha256:"), |mut route, byte| {
        write!(route, "{byte:02x}").expect("text takes what is written");
        route
    })
}

/// Submits a command and turns its outcome into a response.
pub async fn submit<R: Reactor>(mailbox: &Mailbox<R>, command: Command<R::Input>) -> HttpResult {
    Ok(response(outcome_of(mailbox.submit(command).await)?))
}

/// Submits a command. While its answer is provisional, submits it again after each pause in which
/// the result of `look` has changed; then once more as the last try.
pub async fn submit_patiently<R: Reactor, Seen: PartialEq, Looking>(
    mailbox: &Mailbox<R>,
    command: Command<R::Input>,
    pauses: &[Duration],
    look: impl Fn() -> Looking,
) -> Result<Outcome, Problem>
where
    R::Input: Clone,
    Looking: Future<Output = Result<Seen, Problem>>,
{
    let early = Command { is_last_try: false, ..command.clone() };
    let mut end = mailbox.submit(early.clone()).await;
    let mut seen = None;
    for pause in pauses {
        if end != Err(CommandError::TryAgain) {
            return outcome_of(end);
        }
        tokio::time::sleep(*pause).await;
        let now = Some(look().await?);
        if seen != now {
            seen = now;
            end = mailbox.submit(early.clone()).await;
        }
    }
    if end == Err(CommandError::TryAgain) {
        end = mailbox.submit(Command { is_last_try: true, ..command }).await;
    }
    outcome_of(end)
}

/// The outcome, or the problem of a command that has none.
pub fn outcome_of(end: Result<Outcome, CommandError>) -> Result<Outcome, Problem> {
    end.map_err(|error| match error {
        CommandError::Overloaded => {
            Problem::new(Code::Overloaded, "there is more to do than can be done in time")
                .retry_after(1)
        }
        CommandError::KeyReused => key_reused(),
        // Only a command that is not on its last try is answered with `TryAgain`, and those are
        // handled by `submit_patiently`.
        CommandError::TryAgain | CommandError::Failed => Problem::internal(),
    })
}

/// The problem of an idempotency key that was used for another request.
pub(crate) fn key_reused() -> Problem {
    Problem::new(Code::IdempotencyKeyReused, "this Idempotency-Key was used for another request")
}

/// The response for an outcome.
pub fn response(outcome: Outcome) -> Response {
    let Outcome { answer: Answer { status, headers, body }, replayed } = outcome;
    let mut response = http::answer(status, headers, body);
    if replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The response for an answer that was made for this request, and not kept from an earlier one.
pub fn new_response(answer: Answer) -> Response {
    response(Outcome { answer, replayed: false })
}

/// An answer with a JSON body and its entity tag and, for a new resource, its location.
pub fn json_answer(status: u16, body: &impl Serialize, location: Option<String>) -> Answer {
    let body = serde_json::to_vec(body).expect("what answers are made of is JSON");
    let mut headers = vec![(header::ETAG.to_string(), http::etag_of(&body))];
    headers.extend(location.map(|at| (header::LOCATION.to_string(), at)));
    Answer { status, headers, body }
}

/// The entity tag that a response with `view` would have.
pub fn etag(view: &impl Serialize) -> String {
    http::etag_of(&serde_json::to_vec(view).expect("a view has text keys and plain values"))
}

/// The customer that a path names.
pub fn parse_customer(id: &str) -> Result<CustomerId, Problem> {
    CustomerId::parse(id).map_err(|_| no_customer(id))
}

/// The customer that a path names, for whom the caller has to be allowed to act.
pub fn parse_own_customer(id: &str, caller: &Caller) -> Result<CustomerId, Problem> {
    let customer = parse_customer(id)?;
    if caller.may_act_for(&customer) { Ok(customer) } else { Err(no_customer(id)) }
}

/// The problem of a customer who is not there, or not for the caller.
pub fn no_customer(id: &str) -> Problem {
    Problem::not_found(format!("there is no customer {id}"))
}

/// The parameter `order_id`, which the list requires.
pub fn required_order(params: &mut Params) -> Result<OrderId, Problem> {
    let order = params.take_parsed("order_id", |text| {
        OrderId::parse(text).map_err(|_| "has to be the id of an order")
    })?;
    order.ok_or_else(|| Problem::new(Code::BadParameter, "the parameter order_id is missing"))
}

/// A refusal as an answer, so that it can be stored under an idempotency key.
pub fn refusal(problem: &Problem) -> Answer {
    let (status, body) = problem.to_parts();
    let headers = problem
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    Answer { status, headers: headers.collect(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_bound_to_the_decoded_path() {
        let of = |path: &str| route(&Method::POST, &compared(path));

        assert_eq!(of("/v1/accounts/%62ob/deposit"), of("/v1/accounts/bob/deposit"));
        assert_ne!(of("/v1/accounts/bob/deposit"), of("/v1/accounts/bob/hold"));
        assert_ne!(of("/v1/accounts/b%2Fb"), of("/v1/accounts/b/b"));
    }

    #[test]
    fn a_long_path_has_a_short_route_of_its_own() {
        let of = |last: &str| route(&Method::POST, &format!("/v1/{}{last}", "x".repeat(5_000)));

        assert!(of("a").len() < 100);
        assert_ne!(of("a"), of("b"));
    }
}
