//! Opaque cursors: where a list goes on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::{Code, Problem};

/// A cursor of the list `kind`, holding `place`.
pub fn write(kind: &str, place: &impl Serialize) -> String {
    let place = serde_json::to_vec(&(kind, place)).expect("a place is plain data");
    URL_SAFE_NO_PAD.encode(place)
}

/// The place in a cursor that [`write()`] made for the same list.
pub fn read<T: DeserializeOwned>(kind: &str, cursor: &str) -> Result<T, Problem> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<(String, T)>(&bytes).ok())
        .filter(|(of, _)| of == kind)
        .map(|(_, place)| place)
        .ok_or_else(|| Problem::new(Code::BadCursor, "the cursor is not one of this list"))
}
