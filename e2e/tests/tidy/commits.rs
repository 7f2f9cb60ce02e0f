//! The subjects of commits: `scope: what it does`, and a scope is a crate or a folder.

use std::{path::Path, process::Command};

/// The commit after which subjects are checked. A checkout without it checks none.
const SINCE: &str = "208bca4e";
/// Scopes besides the folders of the workspace: `.ci`, the four services, and all crates.
const WIDE: [&str; 3] = ["ci", "services", "workspace"];
/// The longest subject that a list of commits shows whole.
const SUBJECT_MAX: usize = 72;

#[test]
fn a_commit_names_the_crate_that_it_changes() {
    for broken in ["faster now", "fixes: a typo", "mailbox , shop: x", "mailbox:x", "mailbox: "] {
        assert!(fault(broken).is_some(), "the rule cannot see what is wrong with {broken:?}");
    }
    let wrong: Vec<String> = subjects().iter().filter_map(|subject| fault(subject)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn fault(subject: &str) -> Option<String> {
    let is_scope = |scope: &str| WIDE.contains(&scope) || root().join(scope).is_dir();
    let is_fine = subject
        .split_once(": ")
        .is_some_and(|(scopes, what)| scopes.split(", ").all(is_scope) && !what.trim().is_empty());
    if !is_fine {
        return Some(format!("{subject}: it does not begin with the crates that it changes"));
    }
    (subject.len() > SUBJECT_MAX).then(|| format!("{subject}: it is too long"))
}

/// The subjects of the commits since [`SINCE`]; none where git does not know that commit.
fn subjects() -> Vec<String> {
    let range = format!("{SINCE}..HEAD");
    let git = Command::new("git")
        .args(["log", "--no-merges", "--format=%s", &range])
        .current_dir(root())
        .output();
    let told = git.ok().filter(|output| output.status.success());
    let text = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
