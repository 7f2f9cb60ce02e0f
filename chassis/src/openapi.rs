//! The API described by machines, in the form of `OpenAPI` 3.1.
//!
//! Each service describes its own operations in a room of its own (`openapi.rs`), with the readers
//! and the views that its handlers use: a body's schema is what its reader asks for
//! (`body/recording.rs`), an answer's what its view has. What all operations share is added here,
//! from the table of the API: who may call, the headers, the problems that anybody may meet.

mod answers;
mod document;
mod macros;
mod operation;
mod parameters;
mod problems;

pub use document::document;
pub use operation::{ApiOperation, View, delete, get, post, put};
pub use parameters::DateTime;
// For the macros' expansions, in crates that may not have them.
#[doc(hidden)]
pub use {schemars, serde_json};

/// An id, for examples.
pub const ID: &str = "01932c1e-7a4b-7c3d-9e5f-0123456789ab";
/// An instant, for examples.
pub const AT: &str = "2026-11-20T10:00:00.000000Z";
