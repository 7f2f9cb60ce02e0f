//! The subjects of commits: `scope: what it does`, and a scope is a folder of the workspace.

use std::{path::Path, process::Command};

/// The commit after which subjects are checked. A checkout that does not have it, a shallow one
/// say, shows none of them.
const SINCE: &str = "441e10a6143424dd6660641e25ccd743ef99e864";
/// Scopes besides the folders: `.ci`, the four services, and all crates.
const WIDE: [&str; 3] = ["ci", "services", "workspace"];
/// The longest subject that a list of commits shows whole, in characters.
const SUBJECT_MAX: usize = 72;

#[test]
fn a_commit_names_the_crate_that_it_changes() {
    let folders = ["mailbox".to_owned()];
    let long = format!("mailbox: {}", "x".repeat(SUBJECT_MAX));
    for broken in ["faster now", "fixes: a typo", "mailbox:x", ": x", "mailbox/src: x", &long] {
        assert!(fault(broken, &folders).is_some(), "the rule does not see {broken:?}");
    }
    assert_eq!(fault("mailbox, services: x", &folders), None);
    for commit in lines(&["log", "--no-merges", "--format=%H %s", &format!("{SINCE}..HEAD")]) {
        let Some((hash, subject)) = commit.split_once(' ') else { continue };
        // The folders of that day: a crate may have another name by now.
        let folders = lines(&["ls-tree", "-d", "--name-only", hash]);
        assert_eq!(fault(subject, &folders), None, "{subject}");
    }
}

fn fault(subject: &str, folders: &[String]) -> Option<&'static str> {
    let is_scope = |scope: &str| WIDE.contains(&scope) || folders.iter().any(|it| it == scope);
    let has_scope = subject
        .split_once(": ")
        .is_some_and(|(scopes, what)| scopes.split(", ").all(is_scope) && !what.trim().is_empty());
    if !has_scope {
        return Some("it does not begin with the folders that it changes");
    }
    (subject.chars().count() > SUBJECT_MAX).then_some("it is too long")
}

/// What git says; nothing where it cannot.
fn lines(arguments: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let said = Command::new("git").args(arguments).current_dir(root).output();
    let text = said.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = String::from_utf8(text.unwrap_or_default()).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}
