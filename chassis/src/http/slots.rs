//! The connections of one listener: what each is doing, and which are closed when there are too
//! many.
//!
//! A connection is idle while no request of it is under way. So a client that sends a head and never
//! ends it counts as idle, and is closed before one that waits for its answer.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How many are closed at once to make room: finding the longest idle looks at all of them.
const EVICTED_PART: usize = 64;
/// How often room is looked for again while every connection is busy.
const RETRY: Duration = Duration::from_millis(50);

/// All connections of one listener.
pub(super) struct Slots {
    born: Instant,
    max: usize,
    room: Arc<Semaphore>,
    taken: Mutex<(u64, HashMap<u64, Arc<Slot>>)>,
}

/// One connection. Times are in milliseconds since the listener's start; 0 is "not now".
// Written by the connection's own task, read by the one that makes room: relaxed order is enough.
pub(super) struct Slot {
    born: Instant,
    pub(super) peer: SocketAddr,
    requests: AtomicU32,
    active_at: AtomicU64,
    head_since: AtomicU64,
    stalled_since: AtomicU64,
    /// Asks the connection to end if it is idle.
    pub(super) evicted: Notify,
}

/// A place among the connections, given back when it is dropped.
pub(super) struct Seat {
    pub(super) slot: Arc<Slot>,
    id: u64,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self {
            born: Instant::now(),
            max,
            room: Arc::new(Semaphore::new(max)),
            taken: Mutex::default(),
        }
    }

    /// A place for one more connection, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>, peer: SocketAddr) -> anyhow::Result<Seat> {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                break permit;
            }
            self.evict();
            let room = Arc::clone(&self.room).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(RETRY, room).await {
                break permit?;
            }
        };
        let slot = Arc::new(Slot::new(self.born, peer));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.0 += 1;
        let id = taken.0;
        taken.1.insert(id, Arc::clone(&slot));
        Ok(Seat { slot, id, slots: Arc::clone(self), _permit: permit })
    }

    /// Closes those that have been idle for longest.
    fn evict(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle: Vec<&Arc<Slot>> = taken.1.values().filter(|slot| slot.is_idle()).collect();
        let count = (self.max / EVICTED_PART).max(1);
        if idle.len() > count {
            idle.select_nth_unstable_by_key(count, |slot| slot.active_at.load(Ordering::Relaxed));
            idle.truncate(count);
        }
        for slot in idle {
            slot.evicted.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.1.remove(&self.id);
    }
}

impl Slot {
    fn new(born: Instant, peer: SocketAddr) -> Self {
        let slot = Self {
            born,
            peer,
            requests: AtomicU32::new(0),
            active_at: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            evicted: Notify::new(),
        };
        slot.touch();
        slot
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn since(&self, time: &AtomicU64) -> Duration {
        match time.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            time => Duration::from_millis(self.now().saturating_sub(time)),
        }
    }

    /// A request begins; it is over when the returned guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> RequestGuard {
        self.touch();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        RequestGuard(Arc::clone(self))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// Bytes came: if no request is under way, those of a head.
    pub(super) fn received(&self) {
        if self.is_idle() && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client took bytes of an answer, or takes none at present.
    pub(super) fn sent(&self, stalls: bool) {
        if stalls != (self.stalled_since.load(Ordering::Relaxed) != 0) {
            let since = if stalls { self.now() } else { 0 };
            self.stalled_since.store(since, Ordering::Relaxed);
        }
    }

    pub(super) fn head_takes(&self) -> Duration {
        self.since(&self.head_since)
    }

    pub(super) fn stalls_for(&self) -> Duration {
        self.since(&self.stalled_since)
    }

    /// How long no request has begun, ended, or moved on with its answer.
    pub(super) fn quiet_for(&self) -> Duration {
        self.since(&self.active_at)
    }

    fn touch(&self) {
        self.active_at.store(self.now(), Ordering::Relaxed);
    }
}

/// Counts a request as under way until its answer's body has gone.
pub(super) struct RequestGuard(Arc<Slot>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.touch();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer that keeps its request under way.
pub(super) struct GuardedBody {
    pub(super) body: Body,
    pub(super) guard: RequestGuard,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.guard.0.touch();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
