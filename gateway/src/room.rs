//! How many streams may be open: in all, and of one caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chassis::{Caller, Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics;

/// The room for streams. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StreamRoom(Arc<Inner>);

struct Inner {
    all: Arc<Semaphore>,
    each: u32,
    /// How many streams of each caller are open.
    open: Mutex<HashMap<String, u32>>,
}

/// One stream's place, given back when it is dropped.
pub(crate) struct StreamPlace {
    _place: OwnedSemaphorePermit,
    /// Whose it is; nobody's where nobody's name is known.
    caller: Option<String>,
    room: StreamRoom,
}

impl StreamRoom {
    pub(crate) fn new(all: u32, each: u32) -> Self {
        let all = Arc::new(Semaphore::new(all as usize));
        Self(Arc::new(Inner { all, each, open: Mutex::default() }))
    }

    /// A place for one more stream of `caller`.
    pub(crate) fn take(&self, caller: Option<&Caller>) -> Result<StreamPlace, Problem> {
        let caller = caller.filter(|caller| caller.has_name());
        let place = Arc::clone(&self.0.all).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Overloaded, "too many streams are open").retry_after(5)
        })?;
        let caller = caller.map(|caller| caller.subject().to_owned());
        if let Some(caller) = &caller {
            let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(caller.clone()).or_default();
            if *count >= self.0.each {
                let detail = format!("this caller has {count} streams open");
                return Err(Problem::new(Code::RateLimited, detail).retry_after(5));
            }
            *count += 1;
        }
        metrics::stream_opened();
        Ok(StreamPlace { _place: place, caller, room: self.clone() })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metrics::stream_closed();
        let Some(caller) = &self.caller else { return };
        let mut open = self.room.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(caller);
            }
        }
    }
}
