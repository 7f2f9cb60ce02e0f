//! The files of the workspace as text, and helpers of the rules.

use std::{ffi::OsStr, fs, path::Path};

/// Files besides Rust's that a rule reads.
const READ: [&str; 5] = ["Cargo.toml", "Cargo.lock", "topics.json", "decision.golden", "story.js"];

/// The folder of what services expect of each other.
pub(crate) const EXPECTATIONS: &str = "proto/expectations/";

/// A file of the workspace, by its path from the root.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn workspace() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    collect(root, root, &mut files);
    assert!(files.len() > 100, "only {} files under {}", files.len(), root.display());
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(root, &path, files);
            }
        } else if is_rust(&name)
            || is_page(&name)
            || is_migration(&path)
            || READ.contains(&name.as_str())
            || folder.ends_with(EXPECTATIONS)
        {
            files.push(file(root, &path));
        }
    }
}

fn file(root: &Path, path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap();
    File { path: path.strip_prefix(root).unwrap().display().to_string(), text }
}

pub(crate) fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| is_rust(&file.path))
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension() == Some(OsStr::new("rs"))
}

/// Whether a file makes tables.
pub(crate) fn is_migration(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("sql"))
        && path.parent().is_some_and(|folder| folder.ends_with("migrations"))
}

/// Whether a file is a document.
pub(crate) fn is_page(path: &str) -> bool {
    Path::new(path).extension() == Some(OsStr::new("md"))
}

pub(crate) fn is_test(file: &File) -> bool {
    let path = &file.path;
    let beside = path.contains("/tests/") || path.contains("/benches/");
    // All of e2e is tests.
    beside || path.ends_with("/tests.rs") || path.starts_with("e2e/")
}

/// A file's text without comments and without its unit tests.
pub(crate) fn code(file: &File) -> String {
    let shipped = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The keys of one table of a manifest: `name = …` and `name.workspace = …`.
pub(crate) fn keys(manifest: &str, table: &str) -> Vec<String> {
    let table = format!("[{table}]");
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let keys = lines.filter_map(|line| line.split(['=', '.']).next().map(str::trim));
    keys.filter(|key| !key.is_empty() && !key.starts_with('#')).map(Into::into).collect()
}

/// The positions at which a word stands alone.
pub(crate) fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back().is_some_and(is_part);
        let after = text[*at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}
