//! What rules and dashboards ask Prometheus, and which metrics that names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// An expression, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromqlExpression {
    /// The file, and the rule or the panel.
    pub place: String,
    pub text: String,
}

const RULES: &str = "deploy/prometheus/rules";
const DASHBOARDS: &str = "deploy/grafana/dashboards";

/// Words that are no metrics although nothing follows them that would show it.
const KEYWORDS: [&str; 8] = ["and", "bool", "inf", "nan", "offset", "or", "unless", "on"];
/// What is followed by labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// What Prometheus makes by itself.
const OWN: [&str; 2] = ["ALERTS", "up"];

/// All expressions of rules and dashboards.
pub fn expressions(root: &Path) -> Vec<PromqlExpression> {
    let of_rules = files(&root.join(RULES)).into_iter().flat_map(|path| rules(&path).1);
    of_rules.chain(panels(root)).collect()
}

/// The names that rules record.
pub fn recorded(root: &Path) -> BTreeSet<String> {
    files(&root.join(RULES)).into_iter().flat_map(|path| rules(&path).0).collect()
}

/// The expressions of all panels, with a value for each of Grafana's variables.
pub fn panels(root: &Path) -> Vec<PromqlExpression> {
    let mut all = Vec::new();
    for path in files(&root.join(DASHBOARDS)) {
        let Some(dashboard) = read(&path).and_then(|text| serde_json::from_str(&text).ok()) else {
            continue;
        };
        let dashboard: Value = dashboard;
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let (title, text) = (panel["title"].as_str(), target["expr"].as_str());
                let place = format!("{}: {}", name(&path), title.unwrap_or_default());
                all.extend(text.map(|text| PromqlExpression { place, text: filled(text) }));
            }
        }
    }
    all
}

fn filled(text: &str) -> String {
    text.replace("$__rate_interval", "30s").replace("$__range", "30s").replace("$job", ".*")
}

/// What the rules of a file record, and their expressions: `expr: …`, or `expr: |` with the lines
/// below it that are indented further.
fn rules(path: &Path) -> (Vec<String>, Vec<PromqlExpression>) {
    let text = read(path).unwrap_or_default();
    let (mut names, mut expressions) = (Vec::new(), Vec::new());
    let mut rule = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start().trim_start_matches("- ");
        if let Some(name) = trimmed.strip_prefix("record: ") {
            names.push(name.to_owned());
            name.clone_into(&mut rule);
        } else if let Some(name) = trimmed.strip_prefix("alert: ") {
            name.clone_into(&mut rule);
        } else if let Some(first) = trimmed.strip_prefix("expr: ") {
            let indent = line.len() - line.trim_start().len();
            let mut text = first.trim_matches(['|', '>', '-']).trim().to_owned();
            while let Some(more) = lines.next_if(|more| {
                more.len() - more.trim_start().len() > indent && !more.trim().is_empty()
            }) {
                text = format!("{text} {}", more.trim());
            }
            let place = format!("{}: {rule}", name(path));
            expressions.push(PromqlExpression { place, text: text.trim().to_owned() });
        }
    }
    (names, expressions)
}

/// The metrics that an expression names, without the suffixes of a histogram's series.
pub fn metrics(expression: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut rest, mut last) = (expression, "");
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|it: char| !is_name(it)).unwrap_or(rest.len())];
        if word.is_empty() {
            rest = match first {
                '{' => after(rest, '}'),
                '[' => after(rest, ']'),
                '"' => after(&rest[1..], '"'),
                '(' if GROUPINGS.contains(&last) => after(rest, ')'),
                _ => &rest[first.len_utf8()..],
            };
            if !first.is_whitespace() {
                last = "";
            }
            continue;
        }
        rest = &rest[word.len()..];
        last = word;
        let next = rest.trim_start();
        let is_grouped = GROUPINGS[..2].iter().any(|it| next.split(['(', ' ']).next() == Some(it));
        let is_call = next.starts_with('(') || is_grouped;
        let is_number = word.starts_with(|it: char| it.is_ascii_digit());
        let is_known = KEYWORDS.contains(&word) || GROUPINGS.contains(&word) || OWN.contains(&word);
        if !(is_call || is_number || is_known) {
            let series = ["_bucket", "_sum", "_count"];
            let base = series.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            names.push(base.to_owned());
        }
    }
    names
}

fn is_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_' || it == ':'
}

fn after(text: &str, end: char) -> &str {
    text.find(end).map_or("", |at| &text[at + end.len_utf8()..])
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
    found.sort();
    found
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn name(path: &Path) -> String {
    path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
}
