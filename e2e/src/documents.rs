//! The documents that describe the shop to machines, as the code makes them.

use std::path::{Path, PathBuf};

use chassis::openapi;

use crate::asyncapi;

/// A document, and where it is kept.
pub struct Document {
    pub path: PathBuf,
    pub text: String,
}

/// All of them.
///
/// # Panics
///
/// If an operation of the API is not described, or one that it does not have is.
pub fn documents() -> Vec<Document> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let document = |name: &str, value: &serde_json::Value| {
        let text = serde_json::to_string_pretty(value).expect("text keys and plain values") + "\n";
        Document { path: docs.join(name), text }
    };
    let operations: Vec<_> = [
        order_svc::http::operations(),
        payment_svc::http::operations(),
        inventory_svc::http::operations(),
        notify_svc::http::operations(),
        service_kit::openapi::operations(),
        gateway::openapi::operations(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let api = openapi::document(&operations).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    vec![document("openapi.json", &api), document("asyncapi.json", &asyncapi::document())]
}
