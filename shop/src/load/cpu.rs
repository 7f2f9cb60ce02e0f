//! How much processor time each process of the stack has used, from `/proc`.

use std::collections::{BTreeMap, HashMap};

use procfs::process::{Stat, all_processes};

use crate::Stack;

/// Processor time by process, in ticks.
pub(super) type Ticks = BTreeMap<String, u64>;

/// Linux reports times to user space in hundredths of a second, whatever the kernel's own tick.
const TICKS_PER_SECOND: u64 = 100;

/// What every process of the stack has used up to now, with its children (such as PostgreSQL's
/// sessions), and what `shop load` itself has used.
pub(super) fn used(stack: &Stack) -> Ticks {
    let all = processes();
    let mut ticks: Ticks = stack
        .processes
        .iter()
        .filter_map(|process| Some((process.name.clone(), tree(&all, process.pid?))))
        .collect();
    ticks.insert("load".into(), tree(&all, std::process::id()));
    ticks
}

/// The difference in seconds; a process that was restarted in between counts from its new start.
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a measurement")]
pub(super) fn seconds_between(before: &Ticks, after: &Ticks) -> BTreeMap<String, f64> {
    let spent = |name: &String, now: u64| {
        let then = before.get(name).copied().filter(|then| *then <= now).unwrap_or_default();
        (now - then) as f64 / TICKS_PER_SECOND as f64
    };
    after.iter().map(|(name, now)| (name.clone(), spent(name, *now))).collect()
}

/// A process: its parent, and the time that it and its reaped children have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    ticks: u64,
}

fn processes() -> HashMap<u32, Process> {
    let stats = all_processes().into_iter().flatten().flatten().filter_map(|it| it.stat().ok());
    stats.filter_map(|stat| Some((u32::try_from(stat.pid).ok()?, of(&stat)?))).collect()
}

fn of(stat: &Stat) -> Option<Process> {
    let reaped = u64::try_from(stat.cutime + stat.cstime).ok()?;
    let ticks = stat.utime + stat.stime + reaped;
    Some(Process { parent: u32::try_from(stat.ppid).ok()?, ticks })
}

/// The time of a process and of everything below it.
fn tree(all: &HashMap<u32, Process>, root: u32) -> u64 {
    let own = all.get(&root).map_or(0, |process| process.ticks);
    let children = all.iter().filter(|(_, process)| process.parent == root);
    own + children.map(|(pid, _)| tree(all, *pid)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use procfs::FromRead as _;

    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) (b) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 3 4 20 0 1 0 100".to_owned();
        let stat = stat + &" 0".repeat(15);
        let stat = Stat::from_read(stat.as_bytes()).unwrap();
        assert_eq!(of(&stat), Some(Process { parent: 7, ticks: 37 }));
    }

    #[test]
    fn children_count_to_their_parent() {
        let all = HashMap::from([
            (1, Process { parent: 0, ticks: 5 }),
            (2, Process { parent: 1, ticks: 7 }),
            (3, Process { parent: 2, ticks: 11 }),
            (4, Process { parent: 0, ticks: 100 }),
        ]);
        assert_eq!(tree(&all, 1), 23);
    }

    #[test]
    fn a_restarted_process_counts_from_its_start() {
        let before = Ticks::from([("kafka".into(), 500), ("gateway".into(), 100)]);
        let after = Ticks::from([("kafka".into(), 750), ("gateway".into(), 30)]);
        let spent = seconds_between(&before, &after);
        assert!((spent["kafka"] - 2.5).abs() < 1e-9 && (spent["gateway"] - 0.3).abs() < 1e-9);
    }
}
