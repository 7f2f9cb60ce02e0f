//! Items that wait for a row which another session holds, while everything else goes on.
//!
//! A message waits with all later ones of its key behind it, so that nothing overtakes it. No
//! offset of its partition is stored beyond it: after a crash Kafka delivers it again, and the
//! inbox makes what was settled meanwhile harmless. A command waits until its deadline.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    item::Item,
    message::Message,
    metrics,
    parked::{self, KeyRef},
    reactor::HeldRow,
};

/// Items that may wait. Beyond, the loop takes no more, so that a row held for long stops the loop
/// instead of filling the memory.
const ITEMS: usize = 4_000;
/// Bytes of keys and payloads that may wait, for the same reason.
const BYTES: usize = 16 << 20;
/// Items of one key that are tried again at once.
const OF_ONE_KEY: usize = 100;
/// Items that are tried again in one batch, give or take those of one key.
const AT_ONCE: usize = 500;
/// Pauses between tries. The first outlasts another instance's batch; the longest is a delay that a
/// client hardly notices once the row is free.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// For so long after an item last waited, further ones that need the same row are expected, such as
/// those of a client who retries. Batches then skip held rows from the start.
const WARY: Duration = Duration::from_secs(10);
/// A row that is held for less is locked by another batch at work: not worth reporting.
const WORTH_TELLING: time::Duration = time::Duration::SECOND;

/// A partition: its topic and its number.
pub(crate) type Partition = (Arc<str>, i32);

/// Items that have to keep their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    Key(KeyRef),
    /// A command has no order to keep: each is a line of its own, told apart by a number.
    Command(u64),
}

/// A row that another session holds, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSince {
    pub row: HeldRow,
    pub since: OffsetDateTime,
    /// How many messages or commands wait for the row.
    pub waiting: usize,
}

/// The held rows that the loops of a mailbox wait for at present, by loop. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct HeldRows(Arc<Mutex<HashMap<&'static str, Vec<HeldSince>>>>);

impl HeldRows {
    /// The rows that have been held for at least [`WORTH_TELLING`], the longest first.
    pub(crate) fn list(&self, now: OffsetDateTime) -> Vec<HeldSince> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<HeldSince> = rows.values().flatten().cloned().collect();
        list.retain(|held| now - held.since >= WORTH_TELLING);
        list.sort_by_key(|held| held.since);
        list
    }

    fn set(&self, path: &'static str, rows: Vec<HeldSince>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, rows);
    }
}

/// The waiting items of one loop, by line.
pub(crate) struct HeldBack<I> {
    lines: HashMap<Line, VecDeque<Item<I>>>,
    /// The lines in the order in which they are tried again.
    order: VecDeque<Line>,
    commands: u64,
    items: usize,
    bytes: usize,
    pause: Duration,
    retry_at: Instant,
    /// When an item last had to wait.
    waited_at: Option<Instant>,
    /// How far each partition has been received, where that offset is not stored yet.
    reached: HashMap<Partition, i64>,
    rows: Vec<HeldSince>,
    /// Rows that were logged as held.
    told: HashSet<(&'static str, String)>,
    /// How many items of the batch under way have waited before; they are the first ones of it.
    retried: usize,
    /// Where the rows are shown, and the name of the loop they are shown under (`path`).
    shown: HeldRows,
    path: &'static str,
}

impl<I> HeldBack<I> {
    pub(crate) fn new(path: &'static str, shown: HeldRows) -> Self {
        Self {
            lines: HashMap::new(),
            order: VecDeque::new(),
            commands: 0,
            items: 0,
            bytes: 0,
            pause: PAUSE_MIN,
            retry_at: Instant::now(),
            waited_at: None,
            reached: HashMap::new(),
            rows: Vec::new(),
            told: HashSet::new(),
            retried: 0,
            shown,
            path,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Whether a held row is to be expected, so that a batch should not wait for its lock.
    pub(crate) fn is_wary(&self) -> bool {
        self.waited_at.is_some_and(|at| at.elapsed() < WARY)
    }

    /// Whether so much waits that the loop must take no more.
    pub(crate) fn is_full(&self) -> bool {
        self.items >= ITEMS || self.bytes >= BYTES
    }

    /// Ends when the waiting items are to be tried again; never, if nothing waits.
    pub(crate) async fn due(&self) {
        if self.is_empty() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.retry_at).await;
    }

    /// The next batch: the items that are to be tried again now, then those that came, without the
    /// ones that have to queue behind a waiting item of their key.
    pub(crate) fn join(&mut self, came: Vec<Item<I>>) -> Vec<Item<I>> {
        if self.is_empty() {
            return came;
        }
        let mut batch = if self.retry_at <= Instant::now() { self.take_due() } else { Vec::new() };
        for mut item in came {
            let line = item.message().map(|message| Line::Key(parked::key_ref(message)));
            match line.and_then(|line| self.lines.get_mut(&line)) {
                Some(waiting) => {
                    item.held = waiting.back().and_then(|last| last.held.clone());
                    self.items += 1;
                    self.bytes += bytes(&item);
                    waiting.push_back(item);
                }
                None => batch.push(item),
            }
        }
        batch
    }

    /// Takes the lines that are next in turn, of each at most [`OF_ONE_KEY`] items.
    fn take_due(&mut self) -> Vec<Item<I>> {
        let mut taken = Vec::new();
        while taken.len() < AT_ONCE
            && let Some(line) = self.order.pop_front()
        {
            let Some(waiting) = self.lines.get_mut(&line) else { continue };
            taken.extend(waiting.drain(..waiting.len().min(OF_ONE_KEY)));
            if waiting.is_empty() {
                self.lines.remove(&line);
            }
        }
        for item in &mut taken {
            item.held = None;
            self.items -= 1;
            self.bytes -= bytes(item);
        }
        self.retried = taken.len();
        taken
    }

    /// Takes back those items of a batch that have to wait still, or from now on.
    pub(crate) fn keep(&mut self, batch: Vec<Item<I>>, now: OffsetDateTime) {
        let retried = std::mem::take(&mut self.retried);
        let still = batch.iter().take(retried).filter(|item| item.held.is_some()).count();
        let was_empty = self.is_empty() && retried == 0;
        // From the last to the first, so that each is put before the items that queue behind it.
        for item in batch.into_iter().rev().filter(|item| item.held.is_some()) {
            let line = if let Some(message) = item.message() {
                Line::Key(parked::key_ref(message))
            } else {
                self.commands += 1;
                Line::Command(self.commands)
            };
            self.items += 1;
            self.bytes += bytes(&item);
            self.lines.entry(line).or_default().push_front(item);
        }
        let queued: HashSet<Line> = self.order.iter().cloned().collect();
        self.order.extend(self.lines.keys().filter(|line| !queued.contains(line)).cloned());
        if still < retried {
            // A row is free again, and the other items may wait for that same row: no pause.
            (self.pause, self.retry_at) = (PAUSE_MIN, Instant::now());
        } else if retried > 0 || was_empty {
            self.pause = if was_empty { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
            self.retry_at = Instant::now() + self.pause;
        }
        if !self.is_empty() {
            self.waited_at = Some(Instant::now());
        }
        self.show(now);
    }

    /// Publishes which rows are waited for, and since when: to operators, metrics and the log.
    fn show(&mut self, now: OffsetDateTime) {
        if self.is_empty() && self.rows.is_empty() {
            return;
        }
        let mut waiting: HashMap<&HeldRow, usize> = HashMap::new();
        for row in self.lines.values().flatten().filter_map(|item| item.held.as_ref()) {
            *waiting.entry(row).or_default() += 1;
        }
        let since = |row: &HeldRow| {
            let before = self.rows.iter().find(|held| held.row == *row);
            before.map_or(now, |held| held.since)
        };
        let rows: Vec<HeldSince> = waiting
            .into_iter()
            .map(|(row, waiting)| HeldSince { row: row.clone(), since: since(row), waiting })
            .collect();
        self.tell(&rows, now);
        metrics::held(self.path, rows.len(), self.items);
        self.shown.set(self.path, rows.clone());
        self.rows = rows;
    }

    /// Logs once for each row that it is held for longer than [`WORTH_TELLING`], and once that it
    /// is free.
    fn tell(&mut self, rows: &[HeldSince], now: OffsetDateTime) {
        for HeldSince { row: HeldRow { kind, id }, since, waiting } in rows {
            let row = (*kind, id.clone());
            if now - *since >= WORTH_TELLING && self.told.insert(row) {
                let path = self.path;
                tracing::error!(
                    path,
                    kind,
                    id,
                    waiting,
                    "another session holds a row; others go on"
                );
            }
        }
        let held =
            |kind: &str, id: &str| rows.iter().any(|it| it.row.kind == kind && it.row.id == id);
        self.told.retain(|(kind, id)| {
            let still = held(kind, id);
            if !still {
                tracing::info!(kind, id, "a row that was held is free");
            }
            still
        });
    }

    /// Which offsets may be stored, now that messages up to `reached` were received and either
    /// settled or wait here: for each partition, the offset of the first waiting message, if there
    /// is one.
    pub(crate) fn storable(&mut self, reached: HashMap<Partition, i64>) -> HashMap<Partition, i64> {
        if self.is_empty() && self.reached.is_empty() {
            return reached;
        }
        self.reached.extend(reached);
        let mut first: HashMap<Partition, i64> = HashMap::new();
        for message in self.lines.values().flatten().filter_map(Item::message) {
            let partition = (Arc::clone(&message.topic), message.partition);
            let offset = first.entry(partition).or_insert(message.offset);
            *offset = message.offset.min(*offset);
        }
        let storable = self.reached.iter().map(|(partition, next)| {
            (partition.clone(), first.get(partition).map_or(*next, |first| *next.min(first)))
        });
        let storable = storable.collect();
        self.reached.retain(|partition, _| first.contains_key(partition));
        storable
    }

    /// Forgets the waiting messages of partitions that were revoked: the member that has them now
    /// reads those messages again.
    pub(crate) fn revoke(&mut self, is_revoked: impl Fn(&str, i32) -> bool, now: OffsetDateTime) {
        self.reached.retain(|(topic, partition), _| !is_revoked(topic, *partition));
        for waiting in self.lines.values_mut() {
            waiting.retain(|item| {
                item.message().is_none_or(|it| !is_revoked(&it.topic, it.partition))
            });
        }
        self.lines.retain(|_, waiting| !waiting.is_empty());
        self.order.retain(|line| self.lines.contains_key(line));
        self.items = self.lines.values().map(VecDeque::len).sum();
        self.bytes = self.lines.values().flatten().map(bytes).sum();
        self.show(now);
    }
}

fn bytes<I>(item: &Item<I>) -> usize {
    item.message().map_or(0, Message::size)
}

#[cfg(test)]
mod tests;
