//! The payment service's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(payment_svc::NAME, payment_svc::start)
}
