//! The gateway's HTTP API, as any client sees it: JSON in, JSON or a problem out.

use std::time::Duration;

use anyhow::Context as _;
use chassis::TraceParent;
use reqwest::Method;
use serde_json::Value;

use crate::{Home, members::text, token};

/// A client of the gateway, a service or the simulator, by its address.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    http: reqwest::Client,
    token: Option<String>,
}

/// An answer: any status, and the body as JSON (null if it is none).
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    pub status: u16,
    pub body: Value,
}

/// How long an answer may take: longer than any `Prefer: wait`, so that the server's answer comes
/// first.
const PATIENCE: Duration = Duration::from_secs(35);

impl Api {
    /// The API at `base`, such as `http://127.0.0.1:8040`, without a token.
    pub fn at(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { base: base.to_owned(), http, token: None })
    }

    /// The gateway of the stack that runs in `home`, with the commands' own token.
    pub fn of(home: &Home) -> anyhow::Result<Self> {
        Ok(Self { token: Some(token::own(home)?), ..Self::at(&home.stack()?.gateway())? })
    }

    /// A GET of `path`.
    pub async fn get(&self, path: &str) -> anyhow::Result<ApiAnswer> {
        self.call(Method::GET, path, None).await
    }

    /// A PUT of `body` to `path`.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<ApiAnswer> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// A POST of `body` to `path`.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<ApiAnswer> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A DELETE of `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<ApiAnswer> {
        self.call(Method::DELETE, path, None).await
    }

    /// All items of a list, page by page.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let mut page = self.get(&format!("{path}{mark}limit=200{after}")).await?.ok()?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<ApiAnswer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            // Recorded, whatever share of other traces is: somebody looks at this one.
            let trace = TraceParent::start().to_string();
            request = request.json(body).header("traceparent", trace);
        }
        let what = || format!("{method} {}{path}", self.base);
        let response = request.send().await.with_context(what)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.with_context(what)?;
        Ok(ApiAnswer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

impl ApiAnswer {
    /// Whether the status is one of success.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The problem's stable code; empty if there is none.
    pub fn code(&self) -> &str {
        text(&self.body, "code")
    }

    /// The body of a successful answer; otherwise an error with the problem's own words.
    pub fn ok(self) -> anyhow::Result<Value> {
        if self.is_ok() {
            return Ok(self.body);
        }
        let words = ["detail", "title"].iter().find_map(|member| self.body.get(*member)?.as_str());
        anyhow::bail!("{} {}: {}", self.status, self.code(), words.unwrap_or("no more was said"))
    }
}
