//! The metrics of all programs: docs/metrics.md is made of them, and rules and dashboards ask for
//! nothing else.

use std::{collections::BTreeSet, fs, path::Path};

use e2e::{meters, promql};

const PAGE: &str = "docs/metrics.md";
/// Set, it has the page written instead of compared.
const WRITE: &str = "WRITE_DOCS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that writes only when it is asked to")]
fn the_page_of_metrics_is_what_the_programs_say() {
    let (path, page) = (root().join(PAGE), meters::page());
    if std::env::var(WRITE).is_ok() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let stale = committed.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(committed == page, "{PAGE} is out of date: run `make prepare`: {stale:?}");
}

#[test]
fn rules_and_dashboards_ask_for_metrics_that_there_are() {
    let known: BTreeSet<String> =
        meters::all().into_keys().chain(promql::recorded(root())).collect();
    let expressions = promql::expressions(root());
    assert!(expressions.len() > 50, "{}", expressions.len());

    let unknown: Vec<String> = expressions
        .iter()
        .flat_map(|it| promql::metrics(&it.text).into_iter().map(move |name| (it, name)))
        .filter(|(_, name)| !known.contains(name))
        .map(|(it, name)| format!("{}: there is no {name}", it.place))
        .collect();

    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(
        promql::metrics(r#"sum by (le) (rate(a_seconds_bucket{job="b"}[5m])) > on(c) d offset 1h"#),
        ["a_seconds", "d"]
    );
}
