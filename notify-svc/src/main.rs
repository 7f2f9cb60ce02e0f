//! The notification service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(notify_svc::NAME, notify_svc::start)
}
