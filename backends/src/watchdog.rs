//! Ends the servers that this process started when it ends, however it ends.
//!
//! A parent-death signal will not do: it is sent when the *thread* that started the child ends,
//! and tests start servers from threads of their own. So a shell waits for the end of a pipe whose
//! other end only this process holds; kill -9 closes it, too.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use rustix::process::Signal;

/// The shell's script: it keeps a list of `signal:pid`, and when its input ends, it signals them
/// all, gives them three seconds, kills those that are left, and removes the folder, if it was
/// given one.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
held=
while read -r word pid signal; do
  case $word in
    watch) held="$held $signal:$pid" ;;
    forget) rest=; for one in $held; do
        [ "${one#*:}" = "$pid" ] || rest="$rest $one"; done; held=$rest ;;
  esac
done
for one in $held; do kill -s "${one%:*}" "${one#*:}"; done
for i in $(seq 60); do
  alive=; for one in $held; do kill -0 "${one#*:}" && alive=yes; done
  [ -n "$alive" ] || break
  sleep 0.05
done
for one in $held; do kill -s KILL "${one#*:}"; done
[ -z "$1" ] || rm -rf -- "$1"
"#;

/// A shell that waits for the end of this process.
#[derive(Debug)]
pub struct Watchdog {
    shell: Mutex<Child>,
}

impl Watchdog {
    /// Starts the shell; when this process ends, it removes `folder`, too.
    pub fn start(folder: Option<&Path>) -> anyhow::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "shop-watchdog"])
            .arg(folder.unwrap_or(Path::new("")))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a shell")?;
        Ok(Self { shell: Mutex::new(shell) })
    }

    /// Has `signal` sent to the process when this process ends.
    pub fn watch(&self, pid: u32, signal: Signal) {
        let name = match signal {
            Signal::QUIT => "QUIT",
            Signal::INT => "INT",
            Signal::TERM => "TERM",
            _ => "KILL",
        };
        self.say(&format!("watch {pid} {name}\n"));
    }

    /// Leaves the process alone: it has ended, and its id may come to belong to another process.
    pub fn forget(&self, pid: u32) {
        self.say(&format!("forget {pid}\n"));
    }

    fn say(&self, line: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut shell.stdin {
            // A shell that was killed cannot be told; the servers still end with `Drop`.
            pipe.write_all(line.as_bytes()).ok();
        }
    }
}

impl Drop for Watchdog {
    /// Lets the shell finish, so that no server is left when this returns.
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        shell.wait().ok();
    }
}
