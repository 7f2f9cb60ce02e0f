//! The shop's programs, as the same build makes them that made the tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Builds what is not fresh, once a test run, and tells where it lies: a test of yesterday's
/// programs proves nothing.
pub(crate) fn programs() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // A test lies in target/<profile>/deps.
    let folder = test.parent().unwrap().parent().unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    // Naming a test gives the programs the features that the tests are built with: `cargo test
    // --workspace` has made them then.
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bins", "--test", "tidy"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "the shop's programs do not build");
    folder
}
