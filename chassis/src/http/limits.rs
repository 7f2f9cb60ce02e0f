//! What a listener takes from its clients: the settings of `http/serve.rs` and `http/edge.rs`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::tls::ServerTls;
use crate::config::{at_least_1, duration};

/// One listener's limits and end; `http/serve.rs` has what it does.
#[derive(Clone, Debug, Default)]
pub struct HttpServer {
    pub limits: ServerLimits,
    /// What is spoken beneath HTTP, if anything.
    pub tls: Option<ServerTls>,
    /// Cancelled when clients should begin to go elsewhere.
    pub draining: CancellationToken,
    /// Cancelled when nothing more is accepted.
    pub stop: CancellationToken,
}

// The limits of one public listener. No doc comment: clap would show it as the process's own.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerLimits {
    /// Connections at once, and at most half of the files that the process may open. Beyond it
    /// those are closed that were idle for longest; new ones wait while none is idle
    #[arg(long, env = "SHOP_CONNECTIONS_MAX", default_value = "8192", value_parser = at_least_1)]
    pub connections_max: usize,
    /// How long the head of a request may take to arrive, and a handshake of TLS
    #[arg(long, env = "SHOP_HEADER_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub header_timeout: Duration,
    /// How long a connection without a request is kept; longer than a load balancer before it keeps
    /// its own
    #[arg(long, env = "SHOP_IDLE_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of its answer
    #[arg(long, env = "SHOP_WRITE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub write_timeout: Duration,
    /// Headers of a request, at most 100 (431)
    #[arg(long, env = "SHOP_HEADERS_MAX", default_value = "64", value_parser = at_least_1)]
    pub headers_max: usize,
    /// Bytes of a request's headers, at most 32 KiB with the path (431)
    #[arg(long, env = "SHOP_HEADER_BYTES_MAX", default_value = "16384", value_parser = at_least_1)]
    pub header_bytes_max: usize,
    /// Bytes of a request's path and query (414)
    #[arg(long, env = "SHOP_URI_BYTES_MAX", default_value = "8192", value_parser = at_least_1)]
    pub uri_bytes_max: usize,
    /// Requests under way at once on one HTTP/2 connection
    #[arg(long, env = "SHOP_STREAMS_MAX", default_value = "100", value_parser = at_least_1)]
    pub streams_max: usize,
    /// Requests of one HTTP/2 connection that were reset before they began; more end it
    #[arg(long, env = "SHOP_RESETS_MAX", default_value = "20", value_parser = at_least_1)]
    pub resets_max: usize,
}

impl Default for ServerLimits {
    /// What holds where nothing is set, as at the services and at private listeners.
    fn default() -> Self {
        Self {
            connections_max: 8_192,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(30),
            headers_max: 64,
            header_bytes_max: 16 * 1024,
            uri_bytes_max: 8 * 1024,
            streams_max: 100,
            resets_max: 20,
        }
    }
}

impl ServerLimits {
    /// These limits for a listener behind a gateway, which adds some headers of its own.
    #[must_use]
    pub fn behind_a_gateway(self) -> Self {
        let headers_max = self.headers_max + 8;
        Self { headers_max, header_bytes_max: self.header_bytes_max + 2 * 1024, ..self }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: ServerLimits,
    }

    #[test]
    fn what_is_not_set_is_the_default_everywhere() {
        let parsed = Alone::parse_from(["x"]).limits;

        assert_eq!(format!("{parsed:?}"), format!("{:?}", ServerLimits::default()));
    }
}
