//! Writes the documents that describe the shop to machines: docs/openapi.json, docs/asyncapi.json.

use std::{fs, io};

fn main() -> io::Result<()> {
    e2e::documents().into_iter().try_for_each(|it| fs::write(it.path, it.text))
}
