//! HTTP as the services use it: the server, what every request passes at the edge, and the
//! conventions of docs/contracts/http.md (lists, entity tags, preferences, idempotency keys).

mod access;
mod answers;
mod closing;
mod connection;
mod cursor;
mod edge;
mod headers;
mod limits;
mod observed;
mod pages;
mod params;
mod paths;
mod serve;
mod slots;
mod tls;

pub use access::ClientAddress;
pub(crate) use answers::health;
pub use answers::{FinishedResponse, HttpResult, answer, etag_of, json, list, raw_json, resource};
pub use cursor::{bad as bad_cursor, read as read_cursor, write as write_cursor};
pub use edge::{Edge, Handler};
pub use headers::{
    IdempotencyKeyHeader, Prefer, RequestId, fingerprint, if_match, if_nothing_matches,
    not_modified, prefer_wait,
};
pub use limits::{HttpServer, ServerLimits};
pub use pages::{PageBody, page};
pub use params::{NoParams, Page, Params};
pub use paths::decoded_path;
pub use serve::serve;
pub use tls::{ServerTls, TlsSettings};
