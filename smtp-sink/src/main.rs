//! The sink's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("smtp-sink", smtp_sink::start)
}
