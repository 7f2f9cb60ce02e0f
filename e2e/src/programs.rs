//! The shop's programs, from the same build as the tests.

use std::{
    fs::OpenOptions,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// Builds programs that are out of date, once for each test run, and returns their folder: a test
/// of an older build would prove nothing.
pub fn programs() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

/// The image of these programs, made once for each test run; its tag.
pub(crate) fn image() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // Another checkout's tests have an image of their own.
        let mut hasher = DefaultHasher::new();
        workspace.hash(&mut hasher);
        let tag = format!("shop:tests-{:016x}", hasher.finish());
        let mut image = Command::new(workspace.join("deploy/image"));
        let made = image.arg(programs()).arg(&tag).stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "no image");
        tag
    })
}

/// The program that docs/subscribing.md shows.
pub fn subscriber() -> PathBuf {
    programs().join("examples/subscriber")
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // A test binary is in target/<profile>/deps.
    let folder = test.parent().unwrap().parent().unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    // Naming a test target gives the programs the features that the tests are built with, so that
    // `cargo test --workspace` has built them already.
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    cargo.args(["--example", "subscriber", "--test", "tidy"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "the shop's programs do not build");
    folder
}

/// Starts a program with these settings, in a process group of its own, its log at the end of a
/// file.
pub(crate) fn spawn(name: &str, settings: &[(String, String)], log: &Path) -> Child {
    let folder = log.parent().unwrap();
    let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
    Command::new(programs().join(name))
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
