//! The findings of the audit: one check for each promise, with how much was looked at and how much
//! was wrong.

use serde::Serialize;

pub use super::promise::Promise;
use crate::terminal::Paint;

/// The result of checking one promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// How many keys, rows or messages were looked at.
    pub checked: u64,
    pub violations: u64,
    /// The first violation, in words.
    pub first: Option<String>,
}

/// The object of `shop audit --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    pub ok: bool,
    /// Orders under way, which are left out, and how long the oldest of them has been so.
    pub in_flight: u64,
    pub oldest_in_flight_seconds: u64,
    /// Events that operators discarded: counted, but no violations.
    pub discarded: u64,
    pub checks: Vec<Check>,
    /// The first violations of all checks, in words.
    #[serde(skip)]
    pub violations: Vec<String>,
}

/// Orders that cannot be judged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnderWay {
    pub(super) orders: u64,
    pub(super) oldest_seconds: u64,
}

/// How many violations are kept in words: more than anybody would read.
const VIOLATIONS_KEPT: usize = 100;

/// The checks while the audit runs.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    found: Vec<Check>,
    violations: Vec<String>,
}

impl Default for Checks {
    fn default() -> Self {
        let none = |promise: Promise| Check {
            name: promise.words().0,
            ok: true,
            checked: 0,
            violations: 0,
            first: None,
        };
        Self { found: Promise::ALL.map(none).to_vec(), violations: Vec::new() }
    }
}

impl Checks {
    /// Counts `more` keys, rows or messages as looked at.
    pub(super) fn looked(&mut self, promise: Promise, more: u64) {
        self.of(promise).checked += more;
    }

    /// Counts a violation.
    pub(super) fn broken(&mut self, promise: Promise, what: impl FnOnce() -> String) {
        self.add(promise, 1, what);
    }

    /// Takes over what a statement in the database has counted: how many rows, how many of them
    /// wrong, and one of the wrong ones.
    pub(super) fn counted(&mut self, promise: Promise, what: &str, found: CountResult) {
        self.looked(promise, u64::try_from(found.checked).unwrap_or_default());
        if let Ok(wrong @ 1..) = u64::try_from(found.wrong) {
            let which = found.first.unwrap_or_default();
            self.add(promise, wrong, || format!("{what}: {which}"));
        }
    }

    fn add(&mut self, promise: Promise, wrong: u64, what: impl FnOnce() -> String) {
        let is_full = self.violations.len() >= VIOLATIONS_KEPT;
        let check = self.of(promise);
        check.ok = false;
        check.violations += wrong;
        if check.first.is_none() || !is_full {
            let (what, name) = (what(), check.name);
            check.first.get_or_insert_with(|| what.clone());
            self.violations.push(format!("{name}: {what}"));
        }
    }

    fn of(&mut self, promise: Promise) -> &mut Check {
        &mut self.found[promise as usize]
    }

    /// The present state of a promise's check.
    #[cfg(test)]
    pub(super) fn get(&self, promise: Promise) -> &Check {
        &self.found[promise as usize]
    }

    pub(super) fn report(self, under_way: UnderWay, discarded: u64) -> AuditReport {
        AuditReport {
            ok: self.found.iter().all(|check| check.ok),
            in_flight: under_way.orders,
            oldest_in_flight_seconds: under_way.oldest_seconds,
            discarded,
            checks: self.found,
            violations: self.violations,
        }
    }
}

/// The result of a counting statement: how many rows were compared with what they have to agree
/// with, how many of them do not agree, and the id of one of those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CountResult {
    pub(super) checked: i64,
    pub(super) wrong: i64,
    pub(super) first: Option<String>,
}

impl AuditReport {
    /// The report as lines for people, one a check.
    pub fn lines(&self, paint: Paint) -> Vec<String> {
        let mut lines: Vec<String> = Promise::ALL
            .iter()
            .zip(&self.checks)
            .map(|(promise, check)| {
                let words = promise.words().1;
                if check.ok {
                    let numbers = paint.dim(format_args!("{:>9}", check.checked));
                    return format!("{} {numbers}  {words}", paint.green('✔'));
                }
                let first = check.first.as_deref().unwrap_or_default();
                format!(
                    "{} {:>9}  {words}: {}",
                    paint.red('✘'),
                    check.checked,
                    paint.red(format_args!("{} wrong, first {first}", check.violations)),
                )
            })
            .collect();
        let verdict = if self.ok { paint.green("all kept") } else { paint.red("broken") };
        let oldest = match self.in_flight {
            0 => String::new(),
            _ => format!(", the oldest for {} s", self.oldest_in_flight_seconds),
        };
        lines.push(format!("{verdict}; {} orders under way were left out{oldest}", self.in_flight));
        if self.discarded > 0 {
            lines.push(format!("{} events were discarded by operators", self.discarded));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_stand_where_their_number_says() {
        for (at, promise) in Promise::ALL.iter().enumerate() {
            assert_eq!(*promise as usize, at);
        }
    }

    #[test]
    fn the_object_has_the_members_of_the_contract() {
        let mut checks = Checks::default();
        checks.looked(Promise::NothingParked, 3);
        checks.broken(Promise::NothingParked, || "a key".into());
        checks.broken(Promise::NothingParked, || "another".into());
        let json =
            serde_json::to_value(checks.report(UnderWay { orders: 7, oldest_seconds: 2 }, 3))
                .unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["in_flight"], 7);
        assert_eq!(json["oldest_in_flight_seconds"], 2);
        assert_eq!(json["discarded"], 3);
        let parked = &json["checks"][Promise::NothingParked as usize];
        let expected = serde_json::json!({"name": "nothing_parked", "ok": false, "checked": 3,
            "violations": 2, "first": "a key"});
        assert_eq!(*parked, expected);
    }

    #[test]
    fn a_person_sees_what_is_broken() {
        let mut checks = Checks::default();
        let found = CountResult { checked: 9, wrong: 2, first: Some("mug".into()) };
        checks.counted(Promise::StockConserved, "pieces appeared", found);
        let lines = checks.report(UnderWay::default(), 1).lines(Paint::plain());
        assert!(
            lines.iter().any(
                |line| line.starts_with("✘         9") && line.contains("pieces appeared: mug")
            )
        );
        assert_eq!(
            lines.iter().filter(|line| line.starts_with('✔')).count(),
            Promise::ALL.len() - 1
        );
        assert_eq!(lines.last().unwrap(), "1 events were discarded by operators");
    }
}
