//! The simulator's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("simulator", simulator::start)
}
