//! Opaque cursors, which say where the next page of a list begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::{Code, Problem};

/// A cursor of the list `kind` that holds `place`.
pub fn write(kind: &str, place: &impl Serialize) -> String {
    let place = serde_json::to_vec(&(kind, place)).expect("a place is plain data");
    URL_SAFE_NO_PAD.encode(place)
}

/// The place in a cursor that [`write()`] made for the same list; anything else is refused.
pub fn read<T: Serialize + DeserializeOwned>(kind: &str, cursor: &str) -> Result<T, Problem> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        // A place comes from the database, which cannot store the NUL character.
        .filter(|bytes| !bytes.windows(6).any(|window| window == br"\u0000"))
        .and_then(|bytes| serde_json::from_slice::<(String, T)>(&bytes).ok())
        // A cursor that we would write in another way was not written by us.
        .filter(|(of, place)| of == kind && write(kind, place) == cursor)
        .map(|(_, place)| place)
        .ok_or_else(bad)
}

/// The problem of a cursor that is not from this list.
pub fn bad() -> Problem {
    Problem::new(Code::BadCursor, "the cursor is not one of this list")
}
