//! What the machine offers: an unprivileged account, programs, ports, a cache and random words.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    ops::Range,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Where free ports are looked for: below those that Linux by default gives to outgoing connections,
/// of which thousands are made beside a server that is about to start.
const PORTS: Range<u16> = 10_000..20_000;

/// The user that PostgreSQL runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// User and group of another account; none if this process is not root. PostgreSQL refuses
    /// root.
    other: Option<(u32, u32)>,
}

impl Account {
    /// This process's own account; `postgres`, or else `nobody`, when this process is root.
    pub fn unprivileged() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let other = ["postgres", "nobody"].iter().find_map(|user| ids_of(&users, user));
        let other = other.context("PostgreSQL refuses root, and there is no user `postgres`")?;
        Ok(Self { other: Some(other) })
    }

    /// A command that runs as this account, in a process group that a Ctrl-C here does not reach.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.process_group(0);
        if let Some((user, group)) = self.other {
            // Setting the user from root also drops the supplementary groups.
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives the file or folder to this account.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        if let Some((user, group)) = self.other {
            chown(path, Some(user), Some(group))
                .with_context(|| format!("cannot give {} away", path.display()))?;
        }
        Ok(())
    }

    /// Whether this account can reach what is in the folder, as far as the mode bits say.
    pub fn can_enter(self, folder: &Path) -> bool {
        let Some((user, group)) = self.other else { return true };
        folder.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|found| {
                let bit = match (found.uid() == user, found.gid() == group) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                found.mode() & bit != 0
            })
        })
    }
}

fn ids_of(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The program of this name on the `PATH`, if there is one.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The shop's cache folder, which outlives this checkout: for what is expensive to make.
pub fn cache() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("shop"))
}

/// As many free ports of the loopback as asked for, each a different one.
///
/// Another process that looks for one may take a port before it is used: the caller then tries
/// again with others.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let any = || TcpListener::bind(("127.0.0.1", rand::random_range(PORTS))).ok();
        let listener = (0..200).find_map(|_| any()).context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Sixteen random bytes as 22 characters: a password, or an id as Kafka writes them. Its first bit
/// is 0: a word that begins with a dash would be an option on a command line.
pub fn random_word() -> String {
    let mut bytes = uuid::Uuid::new_v4().into_bytes();
    bytes[0] &= 0x7f;
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_outgoing_connection_takes_a_free_port() {
        // Linux' default, whatever this machine's is.
        let lowest = 32_768;
        let mut ports: [u16; 100] = super::free_ports().unwrap();
        ports.sort_unstable();
        assert!(ports[99] < lowest, "{ports:?}, but connections have those from {lowest}");
        assert!(ports.is_sorted_by(|one, next| one < next), "one port twice: {ports:?}");
    }

    #[test]
    fn a_random_word_is_no_option() {
        // One word in 64 began with a dash.
        for _ in 0..2000 {
            let word = super::random_word();
            assert!(word.len() == 22 && !word.starts_with('-'), "{word}");
        }
    }
}
