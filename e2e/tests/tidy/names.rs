//! Names of types: each says what a thing is, and stands for one thing.

use std::collections::BTreeMap;

use crate::{
    holds,
    workspace::{File, code, is_test, rust},
};

/// Irregular participles, which no ending shows.
const IRREGULAR: [&str; 30] = [
    "Begun", "Broken", "Brought", "Built", "Done", "Drawn", "Found", "Given", "Gone", "Heard",
    "Held", "Hidden", "Kept", "Known", "Left", "Lost", "Made", "Met", "Paid", "Run", "Said",
    "Seen", "Sent", "Shown", "Sold", "Spoken", "Taken", "Told", "Undone", "Written",
];
/// Allowed all the same: `Tracked` is the term for a row with what it was, and no noun says that.
const MAY_BE_PARTICIPLES: [&str; 1] = ["Tracked"];

/// Names that every service has, each for a type of its own.
const ROOMS: [&str; 15] = [
    "Announcement",
    "AppState",
    "Args",
    "Config",
    "Decision",
    "Event",
    "Input",
    "Phase",
    "Refusal",
    "Fact",
    "Request",
    "Root",
    "Source",
    "State",
    "World",
];
/// Words of the shop of which each service has a type of its own.
const SHOP: [&str; 13] = [
    "Account",
    "Capture",
    "Charge",
    "Decline",
    "DeclineCode",
    "Method",
    "Payment",
    "Product",
    "Refund",
    "Reservation",
    "Shortage",
    "Status",
    "Stock",
];

#[test]
fn no_type_is_named_by_a_bare_participle() {
    holds(is_a_noun, &[("a/src/x.rs", "//! X.\npub struct Told;\n")]);
    holds(is_a_noun, &[("a/tests/x.rs", "enum Rejected {}\n")]);
    holds(is_a_noun, &[("a/src/x.rs", "pub(crate) type Reading<T> = Vec<T>;\n")]);
}

fn is_a_noun(files: &[File]) -> Vec<String> {
    let types = rust(files).flat_map(|file| types(file).map(move |(name, _)| (file, name)));
    let wrong = types.filter(|(_, name)| is_participle(name));
    wrong.map(|(file, name)| format!("{}: {name} says no thing", file.path)).collect()
}

fn is_participle(name: &str) -> bool {
    let is_one_word = name.chars().skip(1).all(char::is_lowercase);
    let has_ending = name.len() > 4 && (name.ends_with("ed") || name.ends_with("ing"));
    let is_one = is_one_word && (has_ending || IRREGULAR.contains(&name));
    is_one && !MAY_BE_PARTICIPLES.contains(&name)
}

#[test]
fn an_exported_type_is_one_thing() {
    let both = [("a/src/x.rs", "pub struct Sight;\n"), ("b/src/y.rs", "pub enum Sight {}\n")];
    holds(is_one_thing, &both);
}

fn is_one_thing(files: &[File]) -> Vec<String> {
    let mut defined: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in rust(files).filter(|file| !is_test(file)) {
        for (name, is_exported) in types(file) {
            if is_exported && !ROOMS.contains(&&*name) && !SHOP.contains(&&*name) {
                defined.entry(name).or_default().push(&file.path);
            }
        }
    }
    let twice = defined.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|(name, places)| format!("{name} is in {}", places.join(" and "))).collect()
}

/// The types that a file defines, and whether each is exported.
fn types(file: &File) -> impl Iterator<Item = (String, bool)> {
    let lines: Vec<String> = code(file).lines().map(ToOwned::to_owned).collect();
    lines.into_iter().filter_map(|line| {
        let line = line.trim_start();
        let (is_exported, line) = match line.strip_prefix("pub ") {
            Some(rest) => (true, rest),
            None => (
                false,
                line.strip_prefix("pub(")
                    .map_or(line, |rest| rest.split_once(") ").map_or(rest, |(_, rest)| rest)),
            ),
        };
        let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
        let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        name.starts_with(char::is_uppercase).then_some((name, is_exported))
    })
}
