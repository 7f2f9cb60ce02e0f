//! The names of SQL statements: each begins with `-- table.verb`, or with its file's name where a
//! file owns several tables, and is another in each crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    holds,
    rooms::SQL_MAY_BE_IN,
    workspace::{File, code, is_migration, is_test, rust},
};

/// How a statement's text begins in the source.
const OPENINGS: [&str; 2] = ["\"-- ", "#\"-- "];
/// The macros whose statements are checked by the compiler; each has a statement's text.
const CHECKED: [&str; 3] = ["query!(", "query_as!(", "query_scalar!("];

#[test]
fn a_statement_is_named_by_its_table() {
    let table = ("a-svc/migrations/1.sql", "create table orders (\n");
    let find = "\"-- orders.find\n    select 1\"";
    for texts in [
        &["\"select 1\""][..],
        &["\"-- orders\n    select 1\""],
        &["\"-- sales.find\n    select 1\""],
        &[find, find],
    ] {
        let statements = texts.iter().map(|text| format!("sqlx::query!(\n    {text}\n)\n"));
        let file = statements.collect::<String>();
        holds(are_named, &[("a-svc/src/store/orders.rs", &file), table]);
    }
}

fn are_named(files: &[File]) -> Vec<String> {
    let tables = tables(files);
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for file in rust(files).filter(|file| !is_test(file) && may_have_sql(&file.path)) {
        let text = code(file);
        if texts(&text).any(|statement| !statement.starts_with("-- ")) {
            wrong.push(format!("{} has a statement without a name", file.path));
        }
        for name in names(&text) {
            let is_ours =
                |owner: &str| tables.contains(owner) || owners(&file.path).contains(&owner);
            if !name.split_once('.').is_some_and(|(owner, verb)| is_ours(owner) && is_word(verb)) {
                wrong.push(format!("{}: {name} is no table.verb", file.path));
            }
            let place = (krate(&file.path), name.clone());
            if let Some(first) = seen.insert(place, &file.path) {
                wrong.push(format!("{}: {name} is in {first}, too", file.path));
            }
        }
    }
    wrong
}

/// The texts of checked statements, without those that a macro takes from where it is used.
fn texts(code: &str) -> impl Iterator<Item = &str> {
    let macros = CHECKED.iter().flat_map(|opening| code.match_indices(opening));
    macros.filter_map(|(at, _)| {
        let (before, text) = code[at..].split_once('"')?;
        (!before.contains('$')).then_some(text)
    })
}

fn may_have_sql(path: &str) -> bool {
    path.ends_with("/store.rs") || path.contains("/store/") || SQL_MAY_BE_IN.contains(&path)
}

/// The names of a file's statements: what follows `-- ` where a text begins.
fn names(text: &str) -> Vec<String> {
    let openings = OPENINGS.iter().flat_map(|opening| text.match_indices(opening));
    let starts: BTreeSet<usize> = openings.map(|(at, opening)| at + opening.len()).collect();
    let name = |at: usize| text[at..].chars().take_while(|c| is_part(*c) || *c == '.').collect();
    starts.into_iter().map(name).collect()
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_part)
}

fn krate(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Who may own statements in a file besides tables: the file, and the folder that it grew into.
fn owners(path: &str) -> Vec<&str> {
    let parts = path.trim_end_matches(".rs").rsplit('/').filter(|part| *part != "store");
    parts.take(2).filter(|part| *part != "src").collect()
}

/// What the migrations make: tables, sequences, views.
fn tables(files: &[File]) -> BTreeSet<&str> {
    let migrations = files.iter().filter(|file| is_migration(Path::new(&file.path)));
    let made = migrations.flat_map(|file| file.text.lines()).filter_map(|line| {
        let rest = line.trim_start().strip_prefix("create ")?;
        let rest = rest.strip_prefix("unlogged ").unwrap_or(rest);
        let kinds = ["table ", "sequence ", "view "];
        kinds.iter().find_map(|kind| rest.strip_prefix(kind))
    });
    made.filter_map(|rest| rest.split([' ', '(']).next()).collect()
}
