//! The console: pages for people, whose files are part of this program. What they show, they ask
//! the API for, with the token of whoever looks.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chassis::http::json;
use reqwest::Url;
use rust_embed::{Embed, EmbeddedFile};
use serde::Serialize;

use crate::console_settings::{ConsoleSettings, OidcSettings};

const PATH: &str = "/console";
const INDEX: &str = "index.html";
const SETTINGS: &str = "settings.json";

#[derive(Embed)]
#[folder = "console/"]
struct Files;

/// The console of one gateway.
pub(crate) struct Console {
    policy: HeaderValue,
    settings: PageSettings,
}

/// What the pages have to know of their surroundings.
#[derive(Clone, Debug, Serialize)]
struct PageSettings {
    oidc: Option<OidcSettings>,
    jaeger_url: Option<String>,
}

impl Console {
    pub(crate) fn new(settings: &ConsoleSettings) -> anyhow::Result<Self> {
        let oidc = settings.oidc();
        // Everything comes from here, nothing is written into a page, and nobody frames it.
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self' {}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            settings.issuer_origins().join(" ")
        );
        let jaeger_url = settings.jaeger_pages.as_ref().map(Url::to_string);
        Ok(Self {
            policy: HeaderValue::try_from(policy)?,
            settings: PageSettings { oidc, jaeger_url },
        })
    }

    /// What is at this path, if it is part of the console.
    pub(crate) fn find(&self, path: &str) -> Option<Response> {
        let mut response = match path.strip_prefix(PATH)?.strip_prefix('/') {
            None if path != PATH => return None,
            None | Some("") => file(INDEX)?,
            Some(SETTINGS) => json(StatusCode::OK, &self.settings),
            Some(name) => file(name)?,
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // A page and its scripts belong to one build: all are asked for again.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Some(response)
    }
}

fn file(name: &str) -> Option<Response> {
    let EmbeddedFile { data, metadata } = Files::get(name)?;
    let bytes = match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let kind = HeaderValue::try_from(metadata.mimetype()).ok()?;
    Some(([(header::CONTENT_TYPE, kind)], Body::from(bytes)).into_response())
}
