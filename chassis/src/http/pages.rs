//! Pages of lists: each ends at its limit, or before it grows large.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;

use super::{answers::raw_json, cursor};

/// Bytes of a page: a response is held in memory whole, so a page ends before this, however many
/// items are asked for.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Room for the end of the page, which contains the cursor.
const ENDING_BYTES: usize = 1024;
const BEGINNING: &[u8] = br#"{"items":["#;

/// A page that is being written.
pub struct PageBody {
    limit: usize,
    shown: usize,
    bytes: Vec<u8>,
}

impl PageBody {
    /// A page of at most `limit` items.
    pub fn new(limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, shown: 0, bytes: BEGINNING.to_vec() }
    }

    /// Adds an item. Returns false if the page is full, and the item belongs on the next one.
    pub fn push(&mut self, item: &impl Serialize) -> bool {
        if self.shown == self.limit {
            return false;
        }
        let end = self.bytes.len();
        if self.shown > 0 {
            self.bytes.push(b',');
        }
        serde_json::to_writer(&mut self.bytes, item)
            .expect("a view has text keys and plain values");
        // The first item is added however large it is, because the list would never get past it.
        let fits = self.shown == 0 || self.bytes.len() + ENDING_BYTES <= PAGE_BYTES_MAX;
        if fits {
            self.shown += 1;
        } else {
            self.bytes.truncate(end);
        }
        fits
    }

    /// Ends the page with the cursor of the next one; without a cursor it is the last.
    pub fn finish(mut self, next_cursor: Option<&str>) -> Response {
        self.bytes.extend_from_slice(br#"],"next_cursor":"#);
        serde_json::to_writer(&mut self.bytes, &next_cursor).expect("text is JSON");
        self.bytes.push(b'}');
        raw_json(StatusCode::OK, self.bytes)
    }
}

/// A page of the list `kind`. `items` come with their places, and the caller fetched one more than
/// `limit` of them. `rest` is the place where the list goes on although no further item was
/// fetched, if it does.
pub fn page<P: Serialize, V: Serialize>(
    kind: &str,
    limit: i64,
    items: impl IntoIterator<Item = (P, V)>,
    rest: Option<P>,
) -> Response {
    let mut body = PageBody::new(limit);
    let mut last = None;
    for (place, view) in items {
        if !body.push(&view) {
            return body.finish(last.map(|last| cursor::write(kind, &last)).as_deref());
        }
        last = Some(place);
    }
    body.finish(rest.map(|rest| cursor::write(kind, &rest)).as_deref())
}
