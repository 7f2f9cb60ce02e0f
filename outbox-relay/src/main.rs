//! The process `outbox-relay`.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("outbox-relay", outbox_relay::start)
}
