//! The memory that a shop's processes take.

use crate::Shop;

/// The resident memory of a process of the shop, in KiB.
pub fn resident_kib(shop: &Shop, process: &str) -> i64 {
    let stack = shop.stack();
    let pid = stack.processes.iter().find(|it| it.name == process).unwrap().pid.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
