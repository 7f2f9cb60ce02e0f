//! The inventory service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(inventory_svc::NAME, inventory_svc::start)
}
