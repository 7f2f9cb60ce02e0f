//! Tidy: rules of this workspace that Clippy cannot check, each with a proof that it can be broken.

#![expect(clippy::unwrap_used, reason = "a test: what goes wrong should stop it")]

mod cards;
mod circles;
mod commits;
mod configuration;
mod dependencies;
mod diagram;
mod docs;
mod documents;
mod expectations;
mod gists;
mod metrics;
mod names;
mod rooms;
mod routes;
mod statements;
mod workspace;

use std::collections::BTreeSet;

use proto::topic;

use self::{
    rooms::SQL_MAY_BE_IN,
    workspace::{File, code, is_test, keys, places, rust, workspace},
};

/// A rule: returns what is wrong, one sentence each.
type Rule = fn(&[File]) -> Vec<String>;

const LINES_MAX: usize = 400;
/// File names that say nothing about the content.
const VAGUE: [&str; 5] = ["utils", "common", "helpers", "types", "misc"];

/// Crates with processes that tests run against.
const TESTS_MAY_KNOW: [&str; 3] = ["backends", "simulator", "smtp-sink"];
/// Each crate, with the crates of this workspace that it may know; e2e knows all.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("mailbox", &["proto"]),
    ("chassis", &["proto"]),
    ("backends", &[]),
    ("service-kit", &["proto", "mailbox", "chassis"]),
    ("order-svc", &["proto", "mailbox", "chassis", "service-kit"]),
    ("payment-svc", &["proto", "mailbox", "chassis", "service-kit"]),
    ("inventory-svc", &["proto", "mailbox", "chassis", "service-kit"]),
    ("notify-svc", &["proto", "mailbox", "chassis", "service-kit"]),
    ("gateway", &["proto", "chassis"]),
    ("outbox-relay", &["proto", "mailbox", "chassis"]),
    ("simulator", &["proto", "chassis"]),
    ("smtp-sink", &["chassis"]),
    ("shop", &["proto", "chassis", "backends"]),
];

/// What `domain/` may use: plain values, and the types that services share.
const DOMAIN_MAY_USE: [&str; 6] = ["std", "thiserror", "time", "proto", "rust_decimal", "uuid"];
const DOMAIN_SEES: [&str; 3] = ["super", "self", "crate::domain"];
/// The parts of the standard library that are not plain values.
const OUTSIDE: [&str; 6] = ["std::fs", "std::io", "std::net", "std::env", "std::process", "async "];

const SQL: [&str; 9] = [
    "query!(",
    "query_as!(",
    "query_scalar!(",
    "query_as(",
    "query_scalar(",
    "raw_sql(",
    "sqlx::query",
    "QueryBuilder",
    ".execute(\"",
];

const PRODUCERS: [&str; 4] =
    ["FutureProducer", "ThreadedProducer", "BaseProducer", "ProducerContext"];

#[test]
fn every_file_opens_with_its_job() {
    holds(opens_with_its_job, &[("a/src/x.rs", "use std::fmt;\n")]);
}

fn opens_with_its_job(files: &[File]) -> Vec<String> {
    let silent = rust(files).filter(|file| !file.text.starts_with("//! "));
    silent.map(|file| format!("{} does not open with a `//!` sentence", file.path)).collect()
}

#[test]
fn no_file_is_long() {
    let long = "//! Long.\n".repeat(LINES_MAX + 1);
    holds(is_short, &[("a/src/x.rs", &long)]);
}

fn is_short(files: &[File]) -> Vec<String> {
    let lines = rust(files).map(|file| (file, file.text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(file, lines)| format!("{} has {lines} lines", file.path)).collect()
}

#[test]
fn imports_of_one_crate_are_joined() {
    holds(joins_imports, &[("a/src/x.rs", "//! X.\n\nuse std::fmt;\nuse std::io;\n")]);
}

fn joins_imports(files: &[File]) -> Vec<String> {
    let root = |line: &str| {
        let path = line.strip_prefix("use ")?;
        path.split("::").next().map(ToOwned::to_owned)
    };
    let mut wrong = Vec::new();
    for file in rust(files) {
        let lines: Vec<&str> = file.text.lines().collect();
        let pairs = lines.windows(2).filter(|pair| pair[0].ends_with(';'));
        for pair in pairs {
            let (first, second) = (root(pair[0]), root(pair[1]));
            if first.is_some() && first == second {
                wrong.push(format!("{}: join `{}` with the line before", file.path, pair[1]));
            }
        }
    }
    wrong
}

#[test]
fn names_say_what_is_inside() {
    holds(says_what_is_inside, &[("a/src/utils.rs", "")]);
    holds(says_what_is_inside, &[("a/src/common/mod.rs", "")]);
}

fn says_what_is_inside(files: &[File]) -> Vec<String> {
    let vague = |file: &&File| {
        file.path.split('/').any(|part| VAGUE.contains(&part.trim_end_matches(".rs")))
    };
    rust(files).filter(vague).map(|file| format!("{} could hold anything", file.path)).collect()
}

#[test]
fn the_domain_is_pure() {
    let path = "a-svc/src/domain/x.rs";
    let root = ("Cargo.toml", "[workspace.dependencies]\nsqlx = \"0.9\"\n");
    holds(domain_is_pure, &[(path, "use sqlx::PgPool;\n")]);
    holds(domain_is_pure, &[(path, "use crate::store;\n")]);
    holds(domain_is_pure, &[(path, "let now = std::fs::read(path);\n")]);
    holds(domain_is_pure, &[root, (path, "fn f(db: &sqlx::PgPool) {}\n")]);
}

fn domain_is_pure(files: &[File]) -> Vec<String> {
    let root = files.iter().find(|file| file.path == "Cargo.toml");
    let known = root.map(|root| keys(&root.text, "workspace.dependencies")).unwrap_or_default();
    let foreign = known.iter().map(|name| name.replace('-', "_"));
    let foreign: Vec<_> = foreign.filter(|name| !DOMAIN_MAY_USE.contains(&name.as_str())).collect();
    let mut wrong = Vec::new();
    for file in rust(files).filter(|file| is_domain(file) && !is_test(file)) {
        for line in code(file).lines() {
            let used = line.trim_start().trim_start_matches("pub ").strip_prefix("use ");
            let fits = |used: &str| {
                let root = used.split("::").next().unwrap_or_default();
                // An enum's variants: `use Status::{Open, Closed}`.
                let is_type = root.starts_with(char::is_uppercase);
                let inside = is_type || DOMAIN_SEES.iter().any(|seen| used.starts_with(seen));
                inside || DOMAIN_MAY_USE.contains(&root) || is_module_beside(files, file, root)
            };
            let outside = OUTSIDE.iter().any(|word| line.contains(word))
                || foreign.iter().any(|name| calls_into(line, name));
            if outside || used.is_some_and(|used| !fits(used)) {
                wrong.push(format!("{} is not pure: {}", file.path, line.trim()));
            }
        }
    }
    wrong
}

fn is_domain(file: &File) -> bool {
    file.path.contains("/src/domain/") || file.path.ends_with("/src/domain.rs")
}

fn calls_into(line: &str, name: &str) -> bool {
    places(line, name).any(|at| line[at + name.len()..].starts_with("::"))
}

/// For `pub use decision::…` in `domain.rs`: whether the name is a file of its folder.
fn is_module_beside(files: &[File], file: &File, name: &str) -> bool {
    let folder = match file.path.strip_suffix("/domain.rs") {
        Some(parent) => format!("{parent}/domain"),
        None => file.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
    };
    files.iter().any(|other| other.path == format!("{folder}/{name}.rs"))
}

#[test]
fn crates_know_only_whom_they_may() {
    let service = "[dependencies]\npayment-svc.workspace = true\n";
    holds(knows_whom_it_may, &[("order-svc/Cargo.toml", service)]);
    holds(
        knows_whom_it_may,
        &[("mailbox/Cargo.toml", "[dependencies]\nchassis.workspace = true\n")],
    );
    holds(
        knows_whom_it_may,
        &[("chassis/Cargo.toml", "[dependencies]\nbackends.workspace = true\n")],
    );
    holds(knows_whom_it_may, &[("stranger/Cargo.toml", "[dependencies]\n")]);
}

fn knows_whom_it_may(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    let manifests =
        files.iter().filter_map(|file| Some((file, file.path.strip_suffix("/Cargo.toml")?)));
    for (file, name) in manifests.filter(|(_, name)| *name != "e2e") {
        let Some((_, may)) = MAY_KNOW.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} is not in the picture of who may know whom"));
            continue;
        };
        let ours = |name: &String| MAY_KNOW.iter().any(|(known, _)| known == name);
        let in_tests = keys(&file.text, "dev-dependencies")
            .into_iter()
            .filter(|name| !TESTS_MAY_KNOW.contains(&name.as_str()));
        let known = keys(&file.text, "dependencies").into_iter().chain(in_tests);
        let others = known.filter(ours).filter(|known| known != name);
        let stray = others.filter(|known| !may.contains(&known.as_str()));
        wrong.extend(stray.map(|known| format!("{name} must not know {known}")));
    }
    wrong
}

#[test]
fn sql_is_in_its_rooms() {
    holds(sql_in_its_rooms, &[("order-svc/src/http.rs", "sqlx::query!(\"select 1\")")]);
    holds(sql_in_its_rooms, &[("mailbox/src/batch.rs", "db.execute(\"commit\")")]);
}

fn sql_in_its_rooms(files: &[File]) -> Vec<String> {
    let may = |path: &str| {
        let store = path.ends_with("/store.rs") || path.contains("/store/");
        store || SQL_MAY_BE_IN.contains(&path)
    };
    let stray = rust(files).filter(|file| !is_test(file) && !may(&file.path));
    let stray = stray.filter(|file| SQL.iter().any(|mark| code(file).contains(mark)));
    stray.map(|file| format!("{} has SQL outside of store.rs", file.path)).collect()
}

#[test]
fn only_the_mailbox_begins_a_transaction() {
    holds(begins_nothing, &[("order-svc/src/http.rs", "let tx = pool.begin().await?;")]);
}

fn begins_nothing(files: &[File]) -> Vec<String> {
    let others =
        rust(files).filter(|file| !is_test(file) && !file.path.starts_with("mailbox/src/"));
    let begin = others.filter(|file| code(file).contains(".begin()"));
    let why = "a begin that is dropped half-way loses what the connection's next user commits";
    begin.map(|file| format!("{} begins a transaction: {why}", file.path)).collect()
}

#[test]
fn only_the_relay_makes_a_producer() {
    holds(makes_no_producer, &[("shop/src/tail.rs", "let producer: FutureProducer = x;")]);
}

fn makes_no_producer(files: &[File]) -> Vec<String> {
    let others =
        rust(files).filter(|file| !is_test(file) && !file.path.starts_with("outbox-relay/"));
    let makes = others
        .filter(|file| PRODUCERS.iter().any(|name| places(&code(file), name).next().is_some()));
    makes.map(|file| format!("{} makes a Kafka producer", file.path)).collect()
}

#[test]
fn topics_are_the_same_in_code_and_deployment() {
    let list = |names: &str| format!(r#"{{"topics": [{names}]}}"#);
    holds(topics_agree, &[("deploy/topics.json", &list(r#"{"name": "shop.orders.v1"}"#))]);
    let all = topic::ALL.map(|name| format!(r#"{{"name": "{name}"}}"#)).join(",");
    let more = list(&format!(r#"{all}, {{"name": "shop.more.v1"}}"#));
    holds(topics_agree, &[("deploy/topics.json", &more)]);
    let stray = ("shop/src/tail.rs", "let name = \"shop.other.v1\";");
    holds(topics_agree, &[("deploy/topics.json", &list(&all)), stray]);
}

fn topics_agree(files: &[File]) -> Vec<String> {
    let Some(list) = files.iter().find(|file| file.path == "deploy/topics.json") else {
        return vec!["deploy/topics.json is missing".to_owned()];
    };
    let list: serde_json::Value = serde_json::from_str(&list.text).unwrap();
    let listed = list["topics"].as_array().unwrap().iter();
    let listed: BTreeSet<_> = listed.filter_map(|topic| topic["name"].as_str()).collect();
    let known: BTreeSet<_> = topic::ALL.into_iter().collect();
    let differ = listed.symmetric_difference(&known);
    let mut wrong: Vec<_> = differ
        .map(|name| format!("{name} is not both in proto and in deploy/topics.json"))
        .collect();
    for file in rust(files).filter(|file| !is_test(file)) {
        let text = code(file);
        for quoted in
            text.split('"').filter(|quoted| quoted.starts_with("shop.") && !quoted.contains('{'))
        {
            let name: Vec<_> = quoted.split('.').take(3).collect();
            if name.len() == 3
                && name[2].starts_with('v')
                && !known.contains(name.join(".").as_str())
            {
                wrong.push(format!("{} names {quoted}, which is no topic", file.path));
            }
        }
    }
    wrong
}

#[test]
fn the_picture_of_an_order_is_drawn_from_its_table() {
    let table = "order-svc/src/domain/decision.golden";
    let row = |to| (table, format!("placed | Rejected -> {to} x (compensating) | OrderCancelled"));
    let (path, text) = row("lost");
    holds(picture_is_drawn, &[(path, &text), ("ARCHITECTURE.md", "pending --> cancelled")]);
}

fn picture_is_drawn(files: &[File]) -> Vec<String> {
    let text =
        |name: &str| files.iter().find(|file| file.path.ends_with(name)).map(|file| &file.text);
    let Some(golden) = text("order-svc/src/domain/decision.golden") else {
        return vec!["order-svc has no decision.golden".to_owned()];
    };
    let drawn = diagram::diagram(golden);
    let is_there = text("ARCHITECTURE.md").is_some_and(|page| page.contains(&drawn));
    if is_there {
        Vec::new()
    } else {
        vec![format!("ARCHITECTURE.md lacks this picture:\n{drawn}")]
    }
}

/// Checks that a rule holds in the workspace, and that these files break it.
fn holds(rule: Rule, broken_by: &[(&str, &str)]) {
    let file =
        |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
    let broken: Vec<_> = broken_by.iter().map(file).collect();
    assert!(!rule(&broken).is_empty(), "the rule cannot see what is wrong with {broken_by:?}");

    let wrong = rule(&workspace());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
