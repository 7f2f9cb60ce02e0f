//! One request, as any client could send it, and its whole answer.

use std::{pin::Pin, time::Duration};

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::EventStream;

/// The pause before a request is repeated, unless `Retry-After` says another one.
const PAUSE: Duration = Duration::from_millis(100);

/// A request that is sent when it is awaited.
#[derive(Debug)]
#[must_use = "it is sent when it is awaited"]
pub struct Ask {
    what: String,
    request: reqwest::RequestBuilder,
    /// Whether a repetition needs a key, so that it does nothing twice.
    needs_key: bool,
    /// How long it is repeated while the shop has no time or no answer for it.
    patience: Option<Duration>,
    token: Option<String>,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct TestResponse {
    what: String,
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null if it is not JSON.
    pub body: Value,
}

impl Ask {
    pub(crate) fn new(client: &reqwest::Client, method: &str, url: &str) -> Self {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let needs_key = method == reqwest::Method::POST;
        let (what, request) = (format!("{method} {url}"), client.request(method, url));
        Self { what, request, needs_key, patience: None, token: None }
    }

    /// When it is awaited, it is repeated for so long, as a client does that wants to get through.
    pub(crate) fn repeated_for(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Asks as the caller of this token, instead of as staff.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Asks without a token.
    pub fn as_stranger(self) -> Self {
        Self { token: None, ..self }
    }

    /// Adds a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.what = format!("{} {body}", self.what);
        self.request = self.request.json(body);
        self
    }

    /// Adds any bytes as the body, with the content type of JSON.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        self.what = format!("{} {shown}", self.what);
        self.request = self.request.header("content-type", "application/json").body(body);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.what = format!("{} [{name}: {value}]", self.what);
        self.request = self.request.header(name, value);
        self.needs_key &= !name.eq_ignore_ascii_case("idempotency-key");
        self
    }

    /// Sends the request again and again until the shop has an answer for it.
    async fn repeat(mut self, patience: Duration) -> Result<TestResponse, String> {
        if self.needs_key {
            self = self.header("idempotency-key", &Uuid::new_v4().to_string());
        }
        let until = Instant::now() + patience;
        loop {
            let request = self.request.try_clone().expect("its body is in memory");
            let (what, token) = (self.what.clone(), self.token.clone());
            let again = Self { what, request, token, ..self };
            let answer = again.send().await;
            let pause = match &answer {
                Ok(answer) if !answer.is_to_be_repeated() => return Ok(answer.clone()),
                Ok(answer) => answer.header("retry-after").parse().map(Duration::from_secs),
                Err(_) => Ok(PAUSE),
            };
            if Instant::now() > until {
                return answer;
            }
            sleep(pause.unwrap_or(PAUSE)).await;
        }
    }

    /// Opens a stream of Server-Sent Events.
    pub async fn stream(self) -> EventStream {
        let Self { what, mut request, token, .. } = self;
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(answer.status(), 200, "{what}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{what}");
        EventStream::of(answer)
    }

    /// Sends the request once; an error if no answer came.
    pub async fn send(self) -> Result<TestResponse, String> {
        let Self { what, mut request, token, .. } = self;
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| format!("{what}: {error:?}"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.map_err(|error| format!("{what}: {error:?}"))?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(TestResponse { what, status, headers, text, body })
    }
}

impl IntoFuture for Ask {
    type Output = TestResponse;
    type IntoFuture = Pin<Box<dyn Future<Output = TestResponse> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = match self.patience {
                Some(patience) => self.repeat(patience).await,
                None => self.send().await,
            };
            answer.unwrap_or_else(|error| panic!("{error}"))
        })
    }
}

impl TestResponse {
    /// The body, after a check of the status.
    #[track_caller]
    pub fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.body
    }

    /// The body of a refusal, after a check of its status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.code()), (status, code), "{self}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self}");
        self.body
    }

    /// Whether the shop says that the same request may get through later.
    fn is_to_be_repeated(&self) -> bool {
        self.status == 429 || (502..=504).contains(&self.status)
    }

    /// A problem's code; empty if there is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The value of a header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl std::fmt::Display for TestResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}\n  -> {} {}", self.what, self.status, self.text)
    }
}
