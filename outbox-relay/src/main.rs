//! The process `outbox-relay`, and its command `adopt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    outbox_relay::adopt::command()
        .unwrap_or_else(|| chassis::run("outbox-relay", outbox_relay::start))
}
