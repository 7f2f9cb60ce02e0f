//! The ledger's file: JSON lines, only ever added to, on disk before anybody is answered.
//!
//! The book in memory is ahead of the file for the length of one write. So nobody is answered, not
//! even a reader, before all that was recorded until then is on disk; and when a write fails, the
//! process ends, because its book can no longer be trusted. Lines that are recorded during a write
//! go to the disk together with the next one: the more requests, the fewer writes for each.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, bail};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::book::{Book, Entry, RecordResult, Refusal};

/// The ledger has failed and the process is about to end; what became of the request is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written")]
pub struct Unwritable;

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
    /// How many entries are on disk.
    written: watch::Receiver<u64>,
}

struct Inner {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    book: Book,
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    /// How many entries this process has recorded.
    recorded: u64,
}

impl Ledger {
    /// Reads the file, or makes it. No request is answered unless the writer runs.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Writer)> {
        let mut file = open(path)?;
        let book = read(&mut file)?;
        let state = Mutex::new(State { book, ..State::default() });
        let inner = Arc::new(Inner { state, wake: Notify::new() });
        let (tell, written) = watch::channel(0);
        let writer = Writer { inner: Arc::clone(&inner), file, tell };
        Ok((Self { inner, written }, writer))
    }

    /// Lets `decide` look and record; returns once what was recorded is on disk.
    pub async fn record<T>(
        &self,
        decide: impl FnOnce(&mut Book) -> Result<RecordResult<T>, Refusal>,
    ) -> Result<Result<RecordResult<T>, Refusal>, Unwritable>
    where
        T: Clone + Into<Entry>,
    {
        let (decided, until) = {
            let mut state = self.inner.state();
            let decided = decide(&mut state.book);
            if let Ok(RecordResult { entry, is_new: true }) = &decided {
                let entry: Entry = entry.clone().into();
                serde_json::to_writer(&mut state.pending, &entry).expect("a vector takes anything");
                state.pending.push(b'\n');
                state.recorded += 1;
                self.inner.wake.notify_one();
            }
            (decided, state.recorded)
        };
        self.on_disk(until).await?;
        Ok(decided)
    }

    /// Looks something up; returns once all that was recorded before is on disk.
    pub async fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> Result<T, Unwritable> {
        let (seen, until) = {
            let state = self.inner.state();
            (look(&state.book), state.recorded)
        };
        self.on_disk(until).await?;
        Ok(seen)
    }

    /// Forgets the keys of Stripe's protocol, as a day later.
    pub fn forget_keys(&self) -> usize {
        self.inner.state().book.forget_keys()
    }

    async fn on_disk(&self, until: u64) -> Result<(), Unwritable> {
        let mut written = self.written.clone();
        written.wait_for(|written| *written >= until).await.map(drop).map_err(|_| Unwritable)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the recorded lines to the file.
pub struct Writer {
    inner: Arc<Inner>,
    file: File,
    tell: watch::Sender<u64>,
}

impl Writer {
    /// Writes until `stop`, and then the lines that are left.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let stopping = tokio::select! {
                () = self.inner.wake.notified() => false,
                () = stop.cancelled() => true,
            };
            self = self.write_pending().await?;
            if stopping {
                return Ok(());
            }
        }
    }

    async fn write_pending(mut self) -> anyhow::Result<Self> {
        let (lines, until) = {
            let mut state = self.inner.state();
            (std::mem::take(&mut state.pending), state.recorded)
        };
        let write = move || {
            self.file.write_all(&lines)?;
            self.file.sync_data()?;
            std::io::Result::Ok(self)
        };
        let written = tokio::task::spawn_blocking(write).await.context("the writer panicked")?;
        let this = written.context("could not write the ledger")?;
        this.tell.send_replace(until);
        Ok(this)
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).context("could not make its folder")?;
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    file.try_lock().context("another process writes it")?;
    // After a power cut a new file is only there if its folder was written to disk, too.
    File::open(folder)?.sync_all().context("could not write its folder")?;
    Ok(file)
}

/// Reads all entries, and cuts off a last line that a killed process left unfinished: its request
/// was never answered.
fn read(file: &mut File) -> anyhow::Result<Book> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        tracing::warn!(bytes = text.len() - whole, "the ledger's last line is unfinished: dropped");
        file.set_len(whole.try_into()?)?;
        file.sync_all()?;
        file.seek(SeekFrom::End(0))?;
    }
    let mut book = Book::default();
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    for (at, line) in lines.enumerate() {
        let entry: Entry =
            serde_json::from_slice(line).with_context(|| format!("line {} is damaged", at + 1))?;
        if let Err(refusal) = book.replay(entry) {
            bail!("line {} contradicts an earlier one: {refusal}", at + 1);
        }
    }
    Ok(book)
}
