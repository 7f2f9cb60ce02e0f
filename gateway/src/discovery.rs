//! Where a service's instances are: addresses as they are set, and names, looked up again and
//! again.
//!
//! A name with several addresses stands for several instances. What was found last is kept while a
//! name cannot be looked up: DNS that is away stops nothing that works.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::http::uri::Authority;

use crate::config::Address;

/// Limit of one look-up: the system's own may be half a minute.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses of a name and port.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> LookupFuture + Send + Sync>);

impl Resolver {
    /// The system's: `/etc/hosts`, DNS, and whatever else it is set to ask.
    pub fn system() -> Self {
        Self::from(|host: String, port| async move {
            Ok(tokio::net::lookup_host((host, port)).await?.collect())
        })
    }

    /// One that asks `lookup`.
    pub fn from<F, R>(lookup: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(lookup(host, port))))
    }

    async fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let looked_up = tokio::time::timeout(LOOKUP_TIMEOUT, (self.0)(host.to_owned(), port)).await;
        let mut found = match looked_up {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer within 5 s".to_owned()),
        };
        if found.is_empty() {
            return Err("it has no address".to_owned());
        }
        // A host with addresses of both kinds is one instance, not two.
        if found.iter().any(SocketAddr::is_ipv4) {
            found.retain(SocketAddr::is_ipv4);
        }
        Ok(found)
    }
}

/// One entry of a service's list, and the addresses last found for it.
pub struct Endpoint {
    pub authority: Authority,
    pub found: Vec<SocketAddr>,
    /// Why the name could not be looked up last time.
    pub problem: Option<String>,
}

impl Endpoint {
    pub fn new(address: &Address) -> Self {
        let authority = address.0.clone();
        let found = authority.as_str().parse().into_iter().collect();
        Self { authority, found, problem: None }
    }

    /// Whether this is an address, which needs no look-up.
    pub fn is_address(&self) -> bool {
        self.authority.as_str().parse::<SocketAddr>().is_ok()
    }

    /// Looks the name up. What was found before stays if that fails.
    pub async fn refresh(&mut self, resolver: &Resolver) {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or_default();
        match resolver.find(host, port).await {
            Ok(found) => {
                if self.problem.take().is_some() {
                    tracing::info!(name = %self.authority, "a name is found again");
                }
                self.found = found;
            }
            Err(why) => {
                if self.problem.is_none() {
                    let name = &self.authority;
                    tracing::warn!(%name, reason = why, "a name cannot be looked up");
                }
                self.problem = Some(format!("{} cannot be looked up: {why}", self.authority));
            }
        }
    }
}
