//! What was taken: a line of JSON for each message in a file, and the newest in memory.
//!
//! A line is in the file before its sender is told that the message was taken, so a sink that is
//! killed has forgotten nothing that it accepted. It does not wait for the disk: a power cut is not
//! what it is for.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Messages that are shown: the newest.
const SHOWN_MAX: usize = 5_000;
/// How much of an older file is read at the start, in bytes.
const TAIL_BYTES: u64 = 8 * 1024 * 1024;

/// One message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The sender's name for it: the same for two copies of one message.
    pub id: String,
    /// email, sms or push.
    pub channel: String,
    /// When it was taken.
    pub at: String,
    pub from: Option<String>,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

/// All that was taken.
pub struct MessageLog {
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    newest: VecDeque<MessageRecord>,
    /// Messages that were refused once, because their address says so.
    once: HashSet<String>,
}

impl MessageLog {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).context("could not make its folder")?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        file.read_to_end(&mut tail)?;
        if tail.last().is_some_and(|byte| *byte != b'\n') {
            // The last line was torn: its message was never accepted.
            file.write_all(b"\n")?;
        }
        let lines = tail.split(|byte| *byte == b'\n');
        // The first line may be half of one.
        let newest = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let inner = Mutex::new(Inner { file, newest, once: HashSet::new() });
        Ok(Self { inner })
    }

    /// Takes a message; an error if it could not be written, and so was not taken.
    pub fn take(&self, message: MessageRecord) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(&message).expect("texts are JSON");
        line.push(b'\n');
        let mut inner = self.inner();
        inner.file.write_all(&line)?;
        inner.newest.push_back(message);
        while inner.newest.len() > SHOWN_MAX {
            inner.newest.pop_front();
        }
        Ok(())
    }

    /// Whether this is the first attempt at the message `id`.
    pub(crate) fn is_first_attempt(&self, id: &str) -> bool {
        self.inner().once.insert(id.to_owned())
    }

    /// The newest messages that fit, the newest first.
    pub fn newest(
        &self,
        limit: usize,
        fits: impl Fn(&MessageRecord) -> bool,
    ) -> Vec<MessageRecord> {
        self.inner().newest.iter().rev().filter(|it| fits(it)).take(limit).cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
