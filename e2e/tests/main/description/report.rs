//! What schemathesis tried, by its own report: what happened, an event a line.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;

/// A link of the description: from an operation to one that takes something of its answer.
pub(super) type Link = (String, String);

/// What one run tried.
#[derive(Debug, Default)]
pub(super) struct RunReport {
    /// Phases, and operations that requests were sent about.
    tried: BTreeSet<(String, String)>,
    pub(super) followed: BTreeSet<Link>,
    /// Why it ended.
    end: String,
}

impl RunReport {
    pub(super) fn read(path: &Path) -> Self {
        let mut report = Self::default();
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if let Some(scenario) = line.get("ScenarioFinished") {
                report.note(scenario);
            } else if let Some(finished) = line.get("EngineFinished") {
                finished["stop_reason"].as_str().unwrap().clone_into(&mut report.end);
            }
        }
        report
    }

    fn note(&mut self, scenario: &Value) {
        let (phase, recorder) = (scenario["phase"].as_str().unwrap(), &scenario["recorder"]);
        let cases = &recorder["cases"];
        for id in recorder["interactions"].as_object().into_iter().flat_map(|sent| sent.keys()) {
            let case = &cases[id];
            self.tried.insert((phase.to_owned(), operation(case)));
            let before = case["parent_id"].as_str().and_then(|before| cases.get(before));
            if let Some(before) = before.filter(|_| case["is_transition_applied"] == true) {
                self.followed.insert((operation(before), operation(case)));
            }
        }
    }

    /// Checks that the run came to its end, and tried these operations in a phase of it.
    pub(super) fn has_tried(&self, phase: &str, operations: impl IntoIterator<Item = String>) {
        assert_eq!(self.end, "completed", "the run was cut off");
        let is_missing = |it: &String| !self.tried.contains(&(phase.to_owned(), it.clone()));
        let missing: Vec<_> = operations.into_iter().filter(is_missing).collect();
        assert!(missing.is_empty(), "{phase} left out {missing:#?}");
    }
}

/// What a request was for: a method and a path, as the description has them.
fn operation(case: &Value) -> String {
    let word = |name: &str| case["value"][name].as_str().unwrap();
    format!("{} {}", word("method"), word("path"))
}
