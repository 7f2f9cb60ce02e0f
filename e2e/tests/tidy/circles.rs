//! Circles of imports: there are none, so that a reader can begin anywhere and go on downwards.
//!
//! Each folder is checked by itself: a module and everything below it are one room of their parent.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    holds,
    workspace::{File, code, is_test, rust},
};

/// A module's path in its crate: `["http", "edge"]`.
type Module = Vec<String>;
/// The rooms of one folder, and which each imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_imports_go_in_circles() {
    let there = ("a/src/x.rs", "use crate::y::Y;\n");
    holds(go_down, &[there, ("a/src/y.rs", "use crate::{z, x::X};\n"), ("a/src/z.rs", "")]);
    holds(
        go_down,
        &[("a/src/m/x.rs", "use super::y::Y;\n"), ("a/src/m/y.rs", "fn f() { super::x::g() }\n")],
    );
}

fn go_down(files: &[File]) -> Vec<String> {
    let mut crates: BTreeMap<&str, BTreeMap<Module, String>> = BTreeMap::new();
    for file in rust(files).filter(|file| !is_test(file)) {
        let Some((name, path)) = file.path.split_once("/src/") else { continue };
        let path = path.trim_end_matches(".rs");
        if path.starts_with("bin/") {
            continue;
        }
        let is_root = path == "lib" || path == "main";
        let module = if is_root { Module::new() } else { segments(path, "/") };
        crates.entry(name).or_default().entry(module).or_default().push_str(&code(file));
    }
    let mut wrong = Vec::new();
    for (name, modules) in crates {
        for (folder, imports) in folders(&modules) {
            for circle in circles(&imports) {
                let place = std::iter::once(name).chain(folder.iter().map(|part| &**part));
                let place = place.collect::<Vec<_>>().join("::");
                wrong.push(format!("{place}: {} import each other", circle.join(", ")));
            }
        }
    }
    wrong
}

/// For each folder, what its rooms import of one another.
fn folders(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Imports> {
    let mut folders: BTreeMap<Module, Imports> = BTreeMap::new();
    for (from, text) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        for used in used(text) {
            let Some(to) = resolve(from, &used, modules) else { continue };
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(room), Some(other)) = (from.get(common), to.get(common)) {
                let imports = folders.entry(from[..common].to_vec()).or_default();
                imports.entry(room.clone()).or_default().insert(other.clone());
            }
        }
    }
    folders
}

/// The rooms of each circle, each circle once.
fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(room) = next.pop() {
            for other in imports.get(&room).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|room| (room, reached(room))).collect();
    let in_circle = reached.iter().filter(|(room, others)| others.contains(**room));
    let back = |room: &str, other: &String| reached.get(other).is_some_and(|it| it.contains(room));
    in_circle
        .map(|(room, others)| others.iter().filter(|it| back(room, it)).cloned().collect())
        .collect()
}

/// The module that a path leads to, as deep as one exists; `None` if the path leaves the crate.
fn resolve(from: &Module, path: &str, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts = segments(path, "::").into_iter().peekable();
    let mut to = match parts.next()?.as_str() {
        "crate" => Module::new(),
        "self" => from.clone(),
        "super" => from[..from.len() - 1].to_vec(),
        _ => return None,
    };
    while parts.next_if(|part| part == "super").is_some() {
        to.pop();
    }
    to.extend(parts);
    while !modules.contains_key(&to) {
        to.pop()?;
    }
    Some(to)
}

fn segments(path: &str, separator: &str) -> Vec<String> {
    path.split(separator).map(|part| part.trim().to_owned()).collect()
}

/// Every path that a file imports, with the braces of `use` expanded.
fn used(text: &str) -> Vec<String> {
    let is_import = |rest: &str| rest.starts_with(|c: char| c.is_alphabetic() || c == '{');
    let imports = text.split("use ").skip(1).filter(|rest| is_import(rest));
    let statements = imports.filter_map(|rest| rest.split(';').next());
    let mut used: Vec<String> = statements.flat_map(|it| taken_apart("", it)).collect();
    for start in ["crate::", "super::"] {
        used.extend(text.match_indices(start).map(|(at, _)| {
            let path = text[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c));
            path.collect::<String>().trim_end_matches(':').to_owned()
        }));
    }
    used
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn taken_apart(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![format!("{prefix}{path}")];
    };
    let prefix = format!("{prefix}{}", head.trim());
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let (mut depth, mut from, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&body[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[from..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| taken_apart(&prefix, part)).collect()
}
