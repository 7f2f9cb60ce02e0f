//! What the audit finds: one check for each promise, with how much was looked at and what was
//! wrong.

use serde::Serialize;

use crate::terminal::Paint;

/// Every promise that the audit looks at, in the order of its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    OutboxInKafka,
    VersionsGapFree,
    DuplicatesIdentical,
    OnePartitionAKey,
    VersionsAgree,
    EndingsSaidOnce,
    HistoryAgrees,
    NothingMissed,
    StockAgrees,
    MoneyAgrees,
    ProviderAgrees,
    CompensatedOnce,
    CustomersTold,
    NothingStuck,
    StockConserved,
    LedgerBalances,
    NothingLeftOver,
    NothingParked,
}

impl Promise {
    pub const ALL: [Self; 18] = [
        Self::OutboxInKafka,
        Self::VersionsGapFree,
        Self::DuplicatesIdentical,
        Self::OnePartitionAKey,
        Self::VersionsAgree,
        Self::EndingsSaidOnce,
        Self::HistoryAgrees,
        Self::NothingMissed,
        Self::StockAgrees,
        Self::MoneyAgrees,
        Self::ProviderAgrees,
        Self::CompensatedOnce,
        Self::CustomersTold,
        Self::NothingStuck,
        Self::StockConserved,
        Self::LedgerBalances,
        Self::NothingLeftOver,
        Self::NothingParked,
    ];

    /// Its name in `--json`, and what it promises.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::OutboxInKafka => {
                ("outbox_in_kafka", "what was shipped lies in Kafka, byte for byte")
            }
            Self::VersionsGapFree => {
                ("versions_gap_free", "each key's events are in order, without a gap")
            }
            Self::DuplicatesIdentical => {
                ("duplicates_identical", "what lies in Kafka twice is the same twice")
            }
            Self::OnePartitionAKey => {
                ("one_partition_a_key", "a key's events are all in one partition")
            }
            Self::VersionsAgree => {
                ("versions_agree", "each state knows how many events were said about it")
            }
            Self::EndingsSaidOnce => {
                ("endings_said_once", "each order's ending was said exactly once")
            }
            Self::HistoryAgrees => {
                ("history_agrees", "each order's history holds what the topics hold")
            }
            Self::NothingMissed => {
                ("nothing_missed", "each service knows the last event it had to hear")
            }
            Self::StockAgrees => {
                ("stock_agrees", "sold where confirmed, nothing held where cancelled")
            }
            Self::MoneyAgrees => {
                ("money_agrees", "paid in full where confirmed, nothing kept where cancelled")
            }
            Self::ProviderAgrees => {
                ("provider_agrees", "the provider's own ledger says the same, one capture an order")
            }
            Self::CompensatedOnce => {
                ("compensated_once", "stock and payment answered each cancelled order once")
            }
            Self::CustomersTold => {
                ("customers_told", "of each ending the customer was told, or had no address")
            }
            Self::NothingStuck => {
                ("nothing_stuck", "every open order waits for something that will come")
            }
            Self::StockConserved => (
                "stock_conserved",
                "pieces on hand and sold are those received; none is sold twice",
            ),
            Self::LedgerBalances => (
                "ledger_balances",
                "each account is the sum of its entries, the ledger sums to zero",
            ),
            Self::NothingLeftOver => {
                ("nothing_left_over", "no deadline, lease or call of what is over")
            }
            Self::NothingParked => ("nothing_parked", "no message was set aside"),
        }
    }
}

/// One promise, as it was found.
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
pub struct Report {
    pub ok: bool,
    /// Orders under way, which are left out.
    pub in_flight: u64,
    pub checks: Vec<Check>,
}

/// The checks while they are made.
#[derive(Clone, Debug)]
pub(super) struct Checks {
    found: Vec<Check>,
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
        Self { found: Promise::ALL.map(none).to_vec() }
    }
}

impl Checks {
    /// So many more were looked at.
    pub(super) fn looked(&mut self, promise: Promise, more: u64) {
        self.of(promise).checked += more;
    }

    /// One was wrong.
    pub(super) fn broken(&mut self, promise: Promise, what: impl FnOnce() -> String) {
        self.add(promise, 1, what);
    }

    /// Looked at by a statement in the database: how many, how many of them wrong, and one of
    /// these.
    pub(super) fn counted(&mut self, promise: Promise, what: &str, found: Counted) {
        self.looked(promise, found.checked);
        if found.wrong > 0 {
            let which = found.first.unwrap_or_default();
            self.add(promise, found.wrong, || format!("{what}: {which}"));
        }
    }

    fn add(&mut self, promise: Promise, wrong: u64, what: impl FnOnce() -> String) {
        let check = self.of(promise);
        check.ok = false;
        check.violations += wrong;
        check.first.get_or_insert_with(what);
    }

    fn of(&mut self, promise: Promise) -> &mut Check {
        &mut self.found[promise as usize]
    }

    /// What `promise` stands at.
    #[cfg(test)]
    pub(super) fn get(&self, promise: Promise) -> &Check {
        &self.found[promise as usize]
    }

    pub(super) fn report(self, in_flight: u64) -> Report {
        Report { ok: self.found.iter().all(|check| check.ok), in_flight, checks: self.found }
    }
}

/// What a statement that counts has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) checked: u64,
    pub(super) wrong: u64,
    pub(super) first: Option<String>,
}

impl Report {
    /// The same, a line a check.
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
        lines.push(format!("{verdict}; {} orders under way were left out", self.in_flight));
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
        let json = serde_json::to_value(checks.report(7)).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["in_flight"], 7);
        let parked = &json["checks"][Promise::NothingParked as usize];
        let expected = serde_json::json!({"name": "nothing_parked", "ok": false, "checked": 3,
            "violations": 2, "first": "a key"});
        assert_eq!(*parked, expected);
    }

    #[test]
    fn a_person_sees_what_is_broken() {
        let mut checks = Checks::default();
        let found = Counted { checked: 9, wrong: 2, first: Some("mug".into()) };
        checks.counted(Promise::StockConserved, "pieces appeared", found);
        let lines = checks.report(0).lines(Paint::plain());
        assert!(
            lines.iter().any(
                |line| line.starts_with("✘         9") && line.contains("pieces appeared: mug")
            )
        );
        assert_eq!(
            lines.iter().filter(|line| line.starts_with('✔')).count(),
            Promise::ALL.len() - 1
        );
    }
}
