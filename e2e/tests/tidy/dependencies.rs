//! Dependencies: none that is not used, none from anywhere but the registry, no second TLS stack.
//!
//! `deny.toml` says the same, and licences too, but needs cargo-deny; this check needs nothing.

use crate::{
    holds,
    workspace::{File, keys, places, rust},
};

/// Crates that must not be linked, not even as a dependency of another. Cargo.lock has ring, which
/// nobody links: reqwest names quinn, which would use it, for those alone who turn HTTP/3 on.
/// deny.toml forbids it.
const FORBIDDEN: [&str; 3] = ["openssl", "native-tls", "opentelemetry-jaeger"];
/// How Cargo.lock marks a source with published versions, as opposed to a repository.
const REGISTRY: &str = "registry+";
/// Crates used only by generated code or by a macro's expansion.
const UNSEEN: [&str; 2] = ["pbjson", "serde"];

#[test]
fn nothing_is_declared_and_not_used() {
    let manifest = "[dependencies]\nuuid.workspace = true\n";
    holds(unused, &[("a/Cargo.toml", manifest), ("a/src/lib.rs", "//! Nothing.\n")]);
}

fn unused(files: &[File]) -> Vec<String> {
    let manifests = files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests.flat_map(|manifest| unused_by(manifest, files)).collect()
}

fn unused_by(manifest: &File, files: &[File]) -> Vec<String> {
    let folder = manifest.path.trim_end_matches("Cargo.toml");
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let declared = tables.iter().flat_map(|table| keys(&manifest.text, table));
    let ours: Vec<&File> = rust(files).filter(|file| file.path.starts_with(folder)).collect();
    declared
        .filter(|name| !UNSEEN.contains(&name.as_str()))
        .filter(|name| {
            let word = name.replace('-', "_");
            !ours.iter().any(|file| places(&file.text, &word).next().is_some())
        })
        .map(|name| format!("{} declares {name} and does not use it", manifest.path))
        .collect()
}

#[test]
fn nothing_forbidden_is_linked() {
    let lock = "[[package]]\nname = \"openssl\"\n";
    holds(forbidden, &[("Cargo.lock", lock)]);
    let git = "[[package]]\nname = \"x\"\nsource = \"git+https://example.org/x\"\n";
    holds(forbidden, &[("Cargo.lock", git)]);
}

fn forbidden(files: &[File]) -> Vec<String> {
    let locks = files.iter().filter(|file| file.path == "Cargo.lock");
    let lines = locks.flat_map(|file| file.text.lines()).filter_map(|line| line.split_once(" = "));
    let wrong = lines.filter(|(field, value)| {
        let value = value.trim_matches('"');
        match *field {
            "name" => FORBIDDEN.contains(&value),
            "source" => !value.starts_with(REGISTRY),
            _ => false,
        }
    });
    wrong.map(|(field, value)| format!("Cargo.lock has {field} {value}")).collect()
}
