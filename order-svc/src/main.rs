//! The order service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(order_svc::NAME, order_svc::start)
}
