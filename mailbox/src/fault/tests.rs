//! The verdicts and the next steps, whole, as golden files.

use std::fmt::Write as _;

use super::*;

/// At least one code of each class that PostgreSQL has, and each code that is judged by itself.
const CODES: [&str; 53] = [
    "03000", "08006", "08P01", "0A000", "0LP01", "21000", "22001", "22003", "22021", "23502",
    "23503", "23505", "23514", "23P01", "24000", "25001", "25006", "25P02", "25P03", "25P04",
    "26000", "28000", "28P01", "2BP01", "34000", "39000", "3D000", "40001", "40P01", "42501",
    "42703", "42883", "42P01", "42P05", "44000", "53100", "53200", "53300", "54000", "55000",
    "55006", "55P03", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58030", "F0000",
    "P0001", "XX000", "XX001",
];

fn compare(name: &str, table: &str, golden: &str) {
    if table != golden {
        let new = std::env::temp_dir().join(name);
        std::fs::write(&new, table).unwrap();
        panic!("the table changed: compare src/fault/{name} with {}", new.display());
    }
}

#[test]
fn every_sqlstate_has_the_verdict_of_the_golden_table() {
    let mut table = "code   in a statement      before the transaction\n".to_owned();
    for code in CODES {
        let (within, before) = (statement(code, true), not_begun(code));
        writeln!(table, "{code}  {:<18}  {}", within.name(), before.name()).unwrap();
        if statement(code, false) != within {
            let unnamed = statement(code, false).name();
            writeln!(table, "{code}  {unnamed:<18}  - without a constraint's name").unwrap();
        }
    }
    compare("verdicts.golden", &table, include_str!("verdicts.golden"));
}

#[test]
fn every_verdict_has_the_next_step_of_the_golden_table() {
    let verdicts = [
        Verdict::Wait,
        Verdict::WaitForOperator,
        Verdict::Collision,
        Verdict::RowHeld,
        Verdict::MissingPartition,
        Verdict::TooSlow,
        Verdict::Suspect { at_once: true },
        Verdict::Suspect { at_once: false },
    ];
    let mut table = "verdict            admission locking  items: failures 1 2 3 4 5\n".to_owned();
    for verdict in verdicts {
        for admission in [Admission::Optimistic, Admission::Deduplicating] {
            for locking in [LockPolicy::Wait, LockPolicy::SkipHeld] {
                for (open, size) in [(1, "one"), (2, "many")] {
                    let pass = Pass { admission, locking, wake_up: WakeUp::AfterCommit };
                    let steps: Vec<String> = (1..=5)
                        .map(|failures| format!("{:?}", next_step(verdict, pass, open, failures)))
                        .collect();
                    writeln!(
                        table,
                        "{:<18} {:<9} {:<8} {size:<4}: {}",
                        verdict.name(),
                        format!("{admission:?}"),
                        format!("{locking:?}"),
                        steps.join(" ")
                    )
                    .unwrap();
                }
            }
        }
    }
    compare("steps.golden", &table, include_str!("steps.golden"));
}

/// A failure before the transaction has touched no item.
#[test]
fn nothing_before_the_transaction_is_an_items_fault() {
    for code in CODES {
        let verdict = not_begun(code);
        assert!(matches!(verdict, Verdict::Wait | Verdict::WaitForOperator), "{code}");
        for open in [1, 2] {
            for failures in [1, 5, 1_000] {
                let pass = Pass {
                    admission: Admission::Deduplicating,
                    locking: LockPolicy::Wait,
                    wake_up: WakeUp::AfterCommit,
                };
                assert_eq!(next_step(verdict, pass, open, failures), Step::Retry, "{code}");
            }
        }
    }
}

/// A failure that keeps others from going on is not tried in the same way for ever.
#[test]
fn every_fault_of_one_entry_ends() {
    let pass = Pass {
        admission: Admission::Deduplicating,
        locking: LockPolicy::SkipHeld,
        wake_up: WakeUp::AfterCommit,
    };
    for verdict in [
        Verdict::RowHeld,
        Verdict::TooSlow,
        Verdict::Collision,
        Verdict::Suspect { at_once: false },
    ] {
        let step = next_step(verdict, pass, 1, 5);
        assert!(matches!(step, Step::HoldBack | Step::GiveUp), "{verdict:?} {step:?}");
    }
}
