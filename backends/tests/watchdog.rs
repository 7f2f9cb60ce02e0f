//! A process that is killed leaves no server behind.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use backends::{Watchdog, server::Server};
use rustix::process::Signal;

/// Whether a process with this command line runs.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

#[test]
fn servers_end_when_the_watchdog_hears_no_more_of_us() {
    let folder = std::env::temp_dir().join(format!("shop-watchdog-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let watchdog = Watchdog::start(Some(&folder)).unwrap();
    let mut server = Command::new("sleep").arg("86399.125").process_group(0).spawn().unwrap();
    let mut other = Command::new("sleep").arg("86399.5").spawn().unwrap();
    // Not QUIT: a shell that runs the tests in the background makes them ignore it.
    watchdog.watch(server.id(), Signal::TERM);
    watchdog.watch(other.id(), Signal::TERM);
    watchdog.forget(other.id());
    let ended = std::thread::spawn(move || server.wait().unwrap());

    // Dropping the watchdog closes the pipe, as a kill of this process would.
    drop(watchdog);

    assert_eq!(ended.join().unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert!(other.try_wait().unwrap().is_none());
    assert!(!folder.exists());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    let folder = std::env::temp_dir().join(format!("shop-dropped-{}", std::process::id()));
    let watchdog = Arc::new(Watchdog::start(Some(&folder)).unwrap());
    let mut command = Command::new("sleep");
    command.arg("86399.25").stdin(Stdio::null());
    let under = (&watchdog, Signal::KILL);
    let server = Server::spawn("sleep", command, &folder.join("log"), under).unwrap();
    // A process's command line shows a moment after its start.
    let started = Instant::now();
    while !runs("86399.25") {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not run");
        std::thread::yield_now();
    }

    drop(server);

    assert!(!runs("86399.25"));
}
