//! The gists of the console: each event that an order's page may show has one, in few words.

use std::collections::BTreeSet;

use proto::{EVENT_TYPES, topic};

use crate::{holds, workspace::File};

/// The page's words; `shop order` has its own (`shop/src/story.rs`).
const STORY: &str = "gateway/console/story.js";
/// The head of the table of gists, which has a key for each event.
const HEAD: &str = "\nconst GISTS = {\n";

#[test]
fn each_event_about_an_order_has_a_gist() {
    let table = |rows: &str| format!("// Words.\n{HEAD}{rows}}};\n");
    holds(has_a_gist, &[(STORY, &table("  OrderPlaced: () => '',\n"))]);
    let rows = about_orders().into_iter().flat_map(|name| ["  ", name, ": () => '',\n"]);
    let all: String = rows.collect();
    holds(has_a_gist, &[(STORY, &table(&format!("{all}  OrderLost: () => '',\n")))]);
    holds(has_a_gist, &[(STORY, &all)]);
}

fn has_a_gist(files: &[File]) -> Vec<String> {
    let story = files.iter().find(|file| file.path == STORY);
    let table = story.and_then(|file| file.text.split_once(HEAD)).map_or("", |(_, rows)| rows);
    let rows = table.split("\n};").next().unwrap_or_default().lines();
    let keys = rows.filter_map(|row| Some(row.strip_prefix("  ")?.split_once(':')?.0));
    let is_name = |key: &&str| !key.is_empty() && key.chars().all(char::is_alphabetic);
    let keys: BTreeSet<&str> = keys.filter(is_name).collect();
    let known = about_orders();
    let missing = known.difference(&keys).map(|name| format!("{STORY} has no gist of {name}"));
    let gone = keys.difference(&known).map(|name| format!("{STORY}: no order's page has {name}"));
    missing.chain(gone).collect()
}

/// The names of the events that an order's page may show: all but those about products.
fn about_orders() -> BTreeSet<&'static str> {
    let events = EVENT_TYPES.iter().filter(|event| event.topic != topic::CATALOGUE);
    events.map(|event| event.name).collect()
}
