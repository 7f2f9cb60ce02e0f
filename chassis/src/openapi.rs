//! The API described by machines, in the form of `OpenAPI` 3.1.
//!
//! Each service describes its own operations in a room of its own (`openapi.rs`), with the readers
//! and the views that its handlers use: a body's schema is what its reader asks for
//! (`body/recording.rs`), an answer's what its view has. What all operations share is added here,
//! from the table of the API: who may call, the headers, the problems that anybody may meet.

mod answers;
mod document;
mod operation;
mod parameters;
mod problems;

pub use document::document;
pub use operation::{ApiOperation, View, delete, get, post, put};
pub use parameters::DateTime;
