//! The documents: tests that they name exist, and every row of the contract's tables has one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    holds,
    workspace::{File, is_page, rust},
};

const CONTRACT: &str = "docs/contracts/http.md";
/// For each row of the contract, the tests that show it.
const SHOWN_BY: &str = "docs/contracts/tests.md";
/// The contract's chapters whose rows are looked at.
const CHAPTERS: [&str; 6] =
    ["Orders", "Payments", "Inventory", "Notifications", "Webhooks", "Operators"];
/// Shorter names in documents are modules and types.
const TEST_NAME_MIN: usize = 12;

#[test]
fn documents_name_tests_that_exist() {
    let page = "mailbox `held::a_row_was_renamed_since`, and in `held::tests` more";
    holds(names_tests_that_exist, &[("docs/reliability.md", page)]);
}

fn names_tests_that_exist(files: &[File]) -> Vec<String> {
    let known = functions(files);
    let pages = files.iter().filter(|file| is_page(&file.path));
    pages
        .flat_map(|page| {
            let named = page.text.split('`').skip(1).step_by(2).filter_map(test_name);
            named
                .filter(|name| !known.contains(name))
                .map(|name| format!("{} names {name}, which is not there", page.path))
        })
        .collect()
}

#[test]
fn every_row_of_the_contract_is_shown_by_a_test() {
    let contract =
        |rows: &str| format!("## Orders\n\n| call | answer |\n|---|---|\n{rows}\n## Planned\n");
    let one = contract("| `GET /v1/x` | 200 |\n");
    let shown = "| row | tests |\n|---|---|\n| `GET /v1/x` | order-svc `http::it_is_shown` |\n";
    holds(is_shown, &[(CONTRACT, &one)]);
    holds(is_shown, &[(CONTRACT, &contract("")), (SHOWN_BY, shown)]);
    let bare = "| row | tests |\n|---|---|\n| `GET /v1/x` | |\n";
    holds(is_shown, &[(CONTRACT, &one), (SHOWN_BY, bare)]);
}

/// The head of the tables in [`SHOWN_BY`].
const HEAD: &str = "| row | tests |";

fn is_shown(files: &[File]) -> Vec<String> {
    let text = |path: &str| {
        files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    };
    let mut rows = BTreeMap::<&str, usize>::new();
    for chapter in CHAPTERS {
        let heading = format!("## {chapter}\n");
        let Some((_, rest)) = text(CONTRACT).split_once(&heading) else { continue };
        let chapter = rest.split("\n## ").next().unwrap_or_default();
        cells(chapter).for_each(|cell| *rows.entry(cell).or_default() += 1);
    }
    let mut shown = BTreeMap::<&str, usize>::new();
    cells(text(SHOWN_BY)).for_each(|cell| *shown.entry(cell).or_default() += 1);
    let missing = rows.iter().filter(|(cell, count)| shown.get(*cell) != Some(count));
    let missing = missing.map(|(cell, _)| format!("{SHOWN_BY} has no tests for the row {cell}"));
    let gone = shown.keys().filter(|cell| !rows.contains_key(*cell));
    let is_bare = |line: &&str| line.starts_with("| ") && !line.contains("::");
    let bare = text(SHOWN_BY).lines().filter(is_bare).filter(|line| *line != HEAD);
    missing
        .chain(gone.map(|cell| format!("{CONTRACT} has no row {cell}")))
        .chain(bare.map(|line| format!("{SHOWN_BY} names no test for {line}")))
        .collect()
}

/// The first cell of each row of the tables, without their heads.
fn cells(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let rows = (0..lines.len())
        .filter(|at| {
            lines[*at].starts_with('|') && !lines[*at].starts_with("|---") && !is_head(*at)
        })
        .map(|at| lines[at].trim_start_matches('|').split(" | ").next().unwrap_or_default().trim());
    rows.collect::<Vec<_>>().into_iter()
}

/// The name of the test that a piece of code in a document names with its module, or alone after
/// such a one.
fn test_name(code: &str) -> Option<&str> {
    let (_, name) = code.rsplit_once("::")?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (name.len() >= TEST_NAME_MIN && name.contains('_') && name.chars().all(is_name)).then_some(name)
}

fn functions(files: &[File]) -> BTreeSet<&str> {
    let names = rust(files).flat_map(|file| file.text.split("fn ").skip(1));
    names.filter_map(|rest| rest.split(['(', '<']).next()).collect()
}
