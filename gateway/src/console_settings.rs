//! The settings of the console, and of what it asks beside the services.

use clap::Args;
use reqwest::Url;
use serde::Serialize;

// No doc comment: clap would show it as the process's own.
#[derive(Clone, Debug, Args)]
pub struct ConsoleSettings {
    /// Where Prometheus answers, for the console's page about the pipeline
    #[arg(long, env = "SHOP_PROMETHEUS_URL")]
    pub prometheus_url: Option<Url>,
    /// Where Jaeger's query API answers, for the traces on an order's page
    #[arg(long, env = "SHOP_JAEGER_URL")]
    pub jaeger_url: Option<Url>,
    /// Where people open Jaeger's own pages, if it has any
    #[arg(long, env = "SHOP_JAEGER_PAGES")]
    pub jaeger_pages: Option<Url>,
    /// The issuer with which people sign in to the console by the code flow with PKCE
    #[arg(long, env = "SHOP_CONSOLE_ISSUER")]
    pub console_issuer: Option<Url>,
    /// The console's id at that issuer, as a public client
    #[arg(long, env = "SHOP_CONSOLE_CLIENT_ID")]
    pub console_client_id: Option<String>,
    /// What the console asks the issuer for
    #[arg(long, env = "SHOP_CONSOLE_SCOPE", default_value = "openid")]
    pub console_scope: String,
    /// The issuer's `authorization_endpoint`, as its discovery document tells
    #[arg(long, env = "SHOP_CONSOLE_AUTHORIZATION_ENDPOINT")]
    pub console_authorization_endpoint: Option<Url>,
    /// The issuer's `token_endpoint`, as its discovery document tells
    #[arg(long, env = "SHOP_CONSOLE_TOKEN_ENDPOINT")]
    pub console_token_endpoint: Option<Url>,
}

/// How people sign in to the console.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OidcSettings {
    issuer: String,
    client_id: String,
    scope: String,
    authorization_endpoint: String,
    token_endpoint: String,
}

impl ConsoleSettings {
    /// The issuer's settings, if all are set.
    pub(crate) fn oidc(&self) -> Option<OidcSettings> {
        Some(OidcSettings {
            issuer: self.console_issuer.clone()?.into(),
            client_id: self.console_client_id.clone()?,
            scope: self.console_scope.clone(),
            authorization_endpoint: self.console_authorization_endpoint.clone()?.into(),
            token_endpoint: self.console_token_endpoint.clone()?.into(),
        })
    }

    /// Whom the pages may call beside this gateway: the issuer, as it is set.
    pub(crate) fn issuer_origins(&self) -> Vec<String> {
        let urls = [&self.console_issuer, &self.console_token_endpoint];
        urls.into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect()
    }

    /// Settings that do not go together.
    pub fn contradictions(&self) -> Vec<String> {
        let set = [
            self.console_issuer.is_some(),
            self.console_client_id.is_some(),
            self.console_authorization_endpoint.is_some(),
            self.console_token_endpoint.is_some(),
        ];
        if set.contains(&true) && set.contains(&false) {
            let all = "SHOP_CONSOLE_ISSUER, _CLIENT_ID, _AUTHORIZATION_ENDPOINT and \
                       _TOKEN_ENDPOINT are set together";
            return vec![all.to_owned()];
        }
        Vec::new()
    }
}
